"""What is counted of requests, as Prometheus reads it; of all workers where there are several.

With ``PROMETHEUS_MULTIPROC_DIR`` in the environment, the counters of all processes that keep them
in that folder are summed up, those of processes that have ended included.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from eisen_deploy.serving.runtime.answering.counters import (
    METRICS,
    CountedRequest,
    Metric,
    list_increments,
)

from .settings import COUNTERS_FOLDER

# What prometheus_client maps of a file; what is counted here needs a hundredth of it.
_FILE_BYTES = 2**20
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MODEL = ("ModelName", "ModelVersion")


def share_counters(index: int) -> None:
    """Count in a file of the common folder that belongs to a number, whichever process has it.

    A process that replaces another one counts on in its file: there are never more than numbers.
    The file is filled here, since writing to it later would kill this process on a full disk.

    :raises OSError: if the disk is full.
    """
    folder = Path(os.environ[COUNTERS_FOLDER])
    folder.mkdir(exist_ok=True)
    with (folder / f"counter_{index}.db").open("ab") as file:
        if sys.platform != "win32":
            os.posix_fallocate(file.fileno(), 0, _FILE_BYTES)
    values.ValueClass = values.MultiProcessValue(lambda: index)  # type: ignore[no-untyped-call]


class PrometheusCounters:
    """The counters of one model in this process."""

    def __init__(self, name: str, version: str) -> None:
        self._model = (name, version)
        self._registry = CollectorRegistry()
        self._counters = {metric: self._make_counter(metric) for metric in METRICS}
        self._labelled: dict[tuple[Metric, str | None], Counter] = {}

    def _make_counter(self, metric: Metric) -> Counter:
        labels = (*_MODEL, metric.label) if metric.label else _MODEL
        return Counter(metric.name, metric.unit, labels, registry=self._registry)

    def count(self, requests: Sequence[CountedRequest], seconds: Mapping[str, float]) -> None:
        """Count a batch, as :class:`~eisen_deploy.serving.runtime.answering.counters.Counters`."""
        with contextlib.suppress(OSError):  # without its folder: answers matter more
            for metric, label, growth in list_increments(requests, seconds):
                self._find(metric, label).inc(growth)

    def _find(self, metric: Metric, label: str | None) -> Counter:
        """Return a counter with its labels; the library takes long to find it."""
        found = self._labelled.get((metric, label))
        if found is None:
            labels = (*self._model, label) if metric.label else self._model
            found = self._labelled[metric, label] = self._counters[metric].labels(*labels)
        return found

    def render(self) -> bytes:
        """Return them as text of :data:`MEDIA_TYPE`."""
        if COUNTERS_FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
