"""``eisen-serve run`` with one archive and an honest load on it, and how it has to end."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .live_faults.load import RIGHT, Load, Outcome, unique_rows
from .running_command import READY, Running

_QUICK = 12
#: Everything takes a quarter of an hour on each engine: FAULT_STRIDE=1 does all of it.
STRIDE = int(os.environ.get("FAULT_STRIDE", _QUICK))
#: What the quick run does without.
long = pytest.mark.skipif(STRIDE >= _QUICK, reason=f"it is done with FAULT_STRIDE below {_QUICK}")
#: The quick run does on TorchServe alone what takes long.
ENGINES_IN_TURN = ["torchserve", pytest.param("uvicorn", marks=long)]
#: Seconds beside a cold start in which it has to serve again.
SLACK = 5.0
#: Seconds after which a call is made again that asks whether it serves.
PROBE = 2.0


def count(full: int) -> int:
    """Return how often to do what is done so often in full."""
    return max(1, full // STRIDE)


class Served:
    """A server that runs, under load.

    :param engine: that serves.
    :param cold: seconds from the command to its word that it serves.
    """

    def __init__(self, running: Running, engine: str, load: Load, cold: float) -> None:
        self.running, self.load, self.cold = running, load, cold
        self.engine = engine
        self.noted: dict[str, list[float]] = {}

    @property
    def worker(self) -> int:
        (pid,) = self.running.workers()
        return pid

    def back(self, what: str, start: float, *, more: float = 0.0, other_than: int = 0) -> None:
        """Call until a right answer comes, which may take a cold start and 5 s.

        The threads of the load may all be waiting for answers that are lost.

        :param start: when the fault came.
        :param more: seconds until it can be noticed at all.
        :param other_than: a worker that cannot give the answer.
        """
        answer = self._ask()
        while answer.kind != RIGHT:
            assert time.monotonic() - start < more + self.cold + SLACK, self.load.report()
            time.sleep(0.05)
            answer = self._ask()
        assert answer.pid != other_than
        assert answer.end - start < more + self.cold + SLACK
        self.noted.setdefault(what, []).append(round(answer.end - start, 2))

    def _ask(self) -> Outcome:
        x = unique_rows(1)
        x[:, -1] = 0
        return self.load.ask(x, PROBE, is_idempotent=True)

    @property
    def receiver(self) -> int:
        """The process that takes connections: Java, or the worker itself."""
        return self.running.jvm() if self.engine == "torchserve" else self.worker

    def wait_descriptors(self, most: int, seconds: float = 15.0) -> None:
        """Wait until who takes connections has no more open files than that."""
        deadline = time.monotonic() + seconds
        while (found := self.descriptors()) > most:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.receiver}/fd").iterdir()))


@contextmanager
def served(
    archive: Path, engine: str, python: Path, *arguments: object, **how: Any
) -> Iterator[Served]:
    """Serve an archive; in the end, stop it with calls under way.

    Then no call has ended otherwise than it may, and no process and no file is left.

    :param how: of the load.
    """
    began = time.monotonic()
    if engine == "uvicorn":  # its workers need what TorchServe's do not
        python = Path(sys.executable)
    arguments = ("--engine", engine, *arguments)
    with Running("run", archive, *arguments, python=python) as running:
        running.until(READY)
        cold = time.monotonic() - began
        url = f"http://127.0.0.1:{running.port}/predictions/{archive.stem}"
        with Load(url, **how) as load:
            live = Served(running, engine, load, cold)
            live.back("first", time.monotonic())
            yield live
            running.process.send_signal(signal.SIGTERM)
            assert running.ended() == 143
            assert running.wait_gone(2), running.pids()
    told = {
        "engine": engine,
        "cold start": round(cold, 1),
        "back after": _summary(live.noted),
        **load.report(),
    }
    print(json.dumps(told, indent=1))
    assert load.problems == []


def _summary(noted: dict[str, list[float]]) -> dict[str, str]:
    return {
        what: f"{min(all_)} to {max(all_)} s, {len(all_)} times" for what, all_ in noted.items()
    }
