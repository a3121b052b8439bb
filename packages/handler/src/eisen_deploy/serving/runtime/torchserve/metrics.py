"""Numbers about requests and about the worker, for TorchServe's metrics.

TorchServe takes a metric as a line that the worker prints, and logs each of these lines. So a
request only adds to counters here, and what they gained is told every few seconds by a thread of
its own, also when no request comes any more. A counter's lines are increments, which the server
sums up: over all workers, and over the life of a worker that it starts again.

Beside what every server counts (``answering.counters``) there is the
gauge ``eisen_worker_memory_bytes`` with the label ``Worker``: memory that the worker resides in.
Each has ``ModelName`` and ``ModelVersion`` as well. Source of the format: TorchServe 0.12,
``ts/metrics/caching_metric.py``, ``Metric.PATTERN`` and ``WorkerLifeCycle.ReaderThread``.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..answering.counters import CountedRequest, Metric, list_increments
from .server_config import ServerConfig

_log = logging.getLogger("eisen_deploy.serving")

#: Seconds between two reports.
INTERVAL = 5.0

#: So many requests tell how much memory a worker needs. It is logged when half of that comes on
#: top, and at least so many bytes.
FIRST_REQUESTS = 100
GROWTH_BYTES = 512 * 2**20

_MEMORY = Metric("eisen_worker_memory_bytes", "Bytes", "Worker")

_MEMORY_LINE = re.compile(r"^(VmRSS|VmHWM):\s+([0-9]+) kB$", re.MULTILINE)


class Metrics:
    """The counters of one worker.

    :param model: name and version of the model.
    :param emit: called with each line; ``None`` for a server that would not take them.
    :param interval: seconds between two reports.
    """

    def __init__(
        self,
        model: tuple[str, str],
        emit: Callable[[str], None] | None,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._labels = f"ModelName:{model[0]},ModelVersion:{model[1]}"
        self._emit = emit
        self._interval = interval
        self._host = socket.gethostname()
        self._gained: dict[tuple[Metric, str], float] = defaultdict(float)
        self._lock = threading.Lock()
        self._is_due = threading.Event()
        self._thread: threading.Thread | None = None
        self._growth = MemoryGrowth()

    def count(self, requests: Sequence[CountedRequest], seconds: Mapping[str, float]) -> None:
        """Count a batch, see :class:`~..answering.counters.Counters`."""
        with self._lock:
            for metric, label, gain in list_increments(requests, seconds):
                self._gained[metric, label] += gain
        self._growth.requests += len(requests)
        self._is_due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._report_for_ever, daemon=True)
            self._thread.start()

    def report(self) -> None:
        """Tell what the counters gained since the last time, and how much memory is in use."""
        with self._lock:
            gained, self._gained = self._gained, defaultdict(float)
        memory = memory_bytes()
        if memory is not None:
            self._growth.look_at(*memory)
        if self._emit is None:
            return
        for (metric, label), value in gained.items():
            self._emit(self._line(metric, label, value, "COUNTER"))
        if memory is not None:
            self._emit(self._line(_MEMORY, worker_name(sys.argv), memory[0], "GAUGE"))

    def _line(self, metric: Metric, label: str, value: float, kind: str) -> str:
        labels = f"{self._labels},{metric.label}:{label}" if metric.label else self._labels
        origin = f"hostname:{self._host},{int(time.time())}"
        # TorchServe does not read an exponent with a plus, which str() may give.
        return f"[METRICS]{metric.name}.{metric.unit}:{value:.6f}|#{labels}|#type:{kind}|#{origin}"

    def _report_for_ever(self) -> None:
        while self._is_due.wait():
            time.sleep(self._interval)
            self._is_due.clear()
            self.report()


def counters_for(server: ServerConfig, model: tuple[str, str]) -> Metrics | None:
    """Return the counters of a worker; ``None`` where nothing is known of the server.

    :param model: name and version of the model.
    """
    if server.reads_model_metrics is None:
        return None
    return Metrics(model, print_line if server.reads_model_metrics else None)


class MemoryGrowth:
    """Tells in the log if a worker's memory grows far beyond what its first requests needed."""

    def __init__(self) -> None:
        self.requests = 0
        self._level = 0
        self._is_known = False

    def look_at(self, resident: int, peak: int) -> None:
        """Take into account what memory the worker holds, and the most that it ever held."""
        if not self._is_known:
            self._level = peak
            self._is_known = self.requests >= FIRST_REQUESTS
        elif resident > self._level + max(self._level // 2, GROWTH_BYTES):
            _log.warning(
                "worker %d holds %d MiB after %d requests, and held at most %d MiB before: "
                "a leak, or larger requests",
                os.getpid(),
                resident >> 20,
                self.requests,
                self._level >> 20,
            )
            self._level = resident


def memory_bytes(status: Path = Path("/proc/self/status")) -> tuple[int, int] | None:
    """Return the memory in which this process resides, and the most that it ever did, in bytes.

    :returns: ``None`` where the system does not tell.
    """
    try:
        found = dict(_MEMORY_LINE.findall(status.read_text("ascii")))
        return 1024 * int(found["VmRSS"]), 1024 * int(found["VmHWM"])
    except (OSError, ValueError, KeyError):
        return None


def worker_name(arguments: Sequence[str]) -> str:
    """Return what tells TorchServe's workers apart: the port, or the end of the socket's name."""
    for argument in arguments:
        match = re.fullmatch(r"(?:.*\.sock\.)?([0-9]+)", argument)
        if match:
            return match[1]
    return str(os.getpid())


def print_line(line: str) -> None:
    """Print a line as TorchServe's worker prints its own metrics, which the server reads."""
    logging.getLogger("ts.metrics.caching_metric").info(line)
