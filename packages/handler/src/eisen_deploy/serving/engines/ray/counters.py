"""What is counted of requests, by Ray's own metrics: it gathers those of all replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ray.util.metrics import Counter

from eisen_deploy.serving.engines.asgi.application import NotFound
from eisen_deploy.serving.runtime.answering.counters import (
    METRICS,
    CountedRequest,
    Metric,
    list_increments,
)

_MODEL = ("ModelName", "ModelVersion")


class RayCounters:
    """The counters of one model."""

    def __init__(self, name: str, version: str) -> None:
        self._model = {"ModelName": name, "ModelVersion": version}
        self._counters = {metric: self._make_counter(metric) for metric in METRICS}

    def _make_counter(self, metric: Metric) -> Counter:
        keys = (*_MODEL, metric.label) if metric.label else _MODEL
        counter = Counter(metric.name, metric.unit, keys)
        counter.set_default_tags(self._model)
        return counter

    def count(self, requests: Sequence[CountedRequest], seconds: Mapping[str, float]) -> None:
        """Count a batch, as :class:`~eisen_deploy.serving.runtime.answering.counters.Counters`."""
        for metric, label, growth in list_increments(requests, seconds):
            if growth > 0:  # Ray refuses 0
                self._counters[metric].inc(growth, {metric.label: label} if metric.label else {})

    def render(self) -> bytes:
        """Refuse: one replica knows only what it has counted itself.

        :raises NotFound: always.
        """
        raise make_refusal()


def make_refusal() -> NotFound:
    """Return the answer of ``/metrics``."""
    names = f"ray_{METRICS[0].name}"
    return NotFound(
        f"each node's metrics are at Ray's own address for them, those of models such as {names}"
    )
