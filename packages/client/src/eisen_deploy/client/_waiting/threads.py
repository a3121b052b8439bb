"""Threads that are used again: starting a new one takes as long as a small call."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)

#: Seconds after which a thread that has nothing to do ends.
IDLE_SECONDS = 10.0


class Outcome(Generic[T_co]):
    """What becomes of some work on another thread. One thread may wait for it.

    :param name: what the thread is called meanwhile, for those who look at a process.
    """

    def __init__(self, work: Callable[[], T_co], name: str = "eisen-client-call") -> None:
        self.name = name
        self.is_done = False
        self._work = [work]
        self._results: list[T_co] = []
        self._errors: list[BaseException] = []
        self._running = threading.Lock()  # an Event takes several times as long to wait for
        self._running.acquire()

    def run(self) -> None:
        """Do the work."""
        try:
            self._results.append(self._work.pop()())  # popped: it may refer to much
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller is
            self._errors.append(error)

    def finish(self) -> None:
        """Wake who waits for it."""
        self.is_done = True
        self._running.release()

    def wait(self, seconds: float) -> bool:
        """Wait until it is done, or so many seconds; return whether it is done."""
        return self.is_done or self._running.acquire(timeout=seconds)

    def take(self) -> T_co:
        """Return the work's result, or raise what it raised."""
        if self._errors:
            raise self._errors.pop()  # popped: no reference cycle keeps the batch alive
        return self._results.pop()


def start(outcome: Outcome[object]) -> None:
    """Begin some work, on a thread that is idle or else on a new one."""
    with _lock:
        if _idle and _idle[-1].process != os.getpid():
            _idle.clear()  # a fork: only the thread that forked lives on
        worker = _idle.pop() if _idle else _Worker()
    worker.jobs.put(outcome)


class _Worker:
    def __init__(self) -> None:
        self.process = os.getpid()
        self.jobs: queue.SimpleQueue[Outcome[object]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=_IDLE, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (outcome := self._next()) is not None:
            self._thread.name = outcome.name
            outcome.run()
            self._thread.name = _IDLE
            with _lock:
                _idle.append(self)  # before the caller goes on, and may have more to do
            outcome.finish()
            del outcome

    def _next(self) -> Outcome[object] | None:
        """Return the next work; nothing if there was none for a while."""
        while True:
            with suppress(queue.Empty):
                return self.jobs.get(timeout=IDLE_SECONDS)
            with _lock:
                if self in _idle:
                    _idle.remove(self)
                    return None  # else somebody took it just now, and gives it work


_IDLE = "eisen-client-idle"

_lock = threading.Lock()
_idle: list[_Worker] = []


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it while the process forked
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
