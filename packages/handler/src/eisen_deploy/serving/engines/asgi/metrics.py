"""What is counted of requests, for Prometheus; of all workers together where there are several.

====================================  ===========================================================
``eisen_requests_total``              ``Outcome``: ``ok``, or the ``type`` of the error
``eisen_batches_total``               ``Size``: how many requests came together
``eisen_stage_seconds_total``         ``Stage``; that of a common pass is counted once
``eisen_request_bytes_total``         bodies as they arrived
``eisen_reply_bytes_total``           bodies as they are sent
====================================  ===========================================================

Each has ``ModelName`` and ``ModelVersion`` as well. With ``PROMETHEUS_MULTIPROC_DIR`` in the
environment, the counters of all processes of that folder are summed up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_MODEL = ("ModelName", "ModelVersion")


class Counters:
    """The counters of one process and its model."""

    def __init__(self, name: str, version: str) -> None:
        self._registry = CollectorRegistry()
        self._model = (name, version)
        make = self._make
        self._requests = make("eisen_requests_total", "Requests by their outcome", "Outcome")
        self._batches = make("eisen_batches_total", "Batches by their size", "Size")
        self._stages = make("eisen_stage_seconds_total", "Seconds spent in each stage", "Stage")
        self._received = make("eisen_request_bytes_total", "Bytes of bodies as they arrived")
        self._sent = make("eisen_reply_bytes_total", "Bytes of bodies as they are sent")

    def _make(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, (*_MODEL, *labels), registry=self._registry)

    def count(self, requests: Sequence[tuple[str, int, int]], seconds: Mapping[str, float]) -> None:
        """Count a batch.

        :param requests: for each of them its outcome, and the bytes of its body and of its reply's.
        :param seconds: spent by all of them in each stage.
        """
        self._batches.labels(*self._model, len(requests)).inc()
        for outcome, received, sent in requests:
            self._requests.labels(*self._model, outcome).inc()
            self._received.labels(*self._model).inc(received)
            self._sent.labels(*self._model).inc(sent)
        for stage, spent in seconds.items():
            self._stages.labels(*self._model, stage).inc(spent)

    def render(self) -> bytes:
        """Return them as Prometheus reads them."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
