"""Which numbers are kept of requests, whatever server shows them.

====================================  ===========================================================
``eisen_requests_total``              ``Outcome``: ``ok``, or the ``type`` of the error
``eisen_batches_total``               ``Size``: how many requests were answered together
``eisen_stage_seconds_total``         ``Stage``; that of a common pass is counted once
``eisen_request_bytes_total``         bodies as they were received
``eisen_reply_bytes_total``           bodies as they are sent
====================================  ===========================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class Metric(NamedTuple):
    """One number that only grows, for each value of its label.

    :param unit: ``Count``, ``Seconds`` or ``Bytes``.
    :param label: empty for a number that has none.
    """

    name: str
    unit: str
    label: str = ""


REQUESTS = Metric("eisen_requests_total", "Count", "Outcome")
BATCHES = Metric("eisen_batches_total", "Count", "Size")
STAGES = Metric("eisen_stage_seconds_total", "Seconds", "Stage")
RECEIVED = Metric("eisen_request_bytes_total", "Bytes")
SENT = Metric("eisen_reply_bytes_total", "Bytes")
METRICS = (REQUESTS, BATCHES, STAGES, RECEIVED, SENT)


class CountedRequest(NamedTuple):
    """What is counted of a request: ``ok`` or the error's type, and the bytes of both bodies."""

    outcome: str
    received: int
    sent: int


class Counters(Protocol):
    """What a server counts."""

    def count(self, requests: Sequence[CountedRequest], seconds: Mapping[str, float]) -> None:
        """Count a batch.

        :param seconds: spent by all of them in each stage.
        """


def list_increments(
    requests: Sequence[CountedRequest], seconds: Mapping[str, float]
) -> Iterator[tuple[Metric, str, float]]:
    """Yield what a batch adds: metric, value of its label, and by how much it grows."""
    yield BATCHES, str(len(requests)), 1
    for outcome, received, sent in requests:
        yield REQUESTS, outcome, 1
        yield RECEIVED, "", received
        yield SENT, "", sent
    for stage, spent in seconds.items():
        yield STAGES, stage, spent
