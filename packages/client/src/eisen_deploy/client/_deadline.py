"""One deadline for a whole call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

#: Sockets cannot wait for longer than some 24 days.
MAX_SECONDS = 1_000_000


class Deadline:
    """A moment that is so many seconds from now.

    :param seconds: ``None`` for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def remaining(self) -> float | None:
        """Seconds left, 0 or more; ``None`` for no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


class Expired(Exception):
    """The work was not done at its deadline."""


def check_seconds(timeout: float | None) -> float | None:
    """Return a timeout as a float.

    :raises ValueError: if it is not a number of seconds above 0 and at most ``MAX_SECONDS``.
    """
    if timeout is None:
        return None
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout <= MAX_SECONDS:
        raise ValueError(
            f"timeout must be a number of seconds above 0 and at most {MAX_SECONDS}, or None"
        )
    return float(timeout)


def run_until(deadline: Deadline, work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Return the result of some work, or give it up at the deadline.

    The work runs on a thread of its own and this one only waits for it. Timeouts of sockets
    alone would not do: each applies to one operation, so a server that sends a byte a second,
    or a host with many dead addresses, outlasts them.

    :param stop: makes the work end soon; called if it is given up, whatever the reason.
    :raises Expired: if the deadline passes first.
    """
    if deadline.remaining is None:
        return work()
    outcome = _Outcome(work)
    thread = threading.Thread(target=outcome.run, name="eisen-client-call", daemon=True)
    thread.start()
    try:
        thread.join(deadline.remaining)
    finally:  # also for KeyboardInterrupt
        late = not outcome.done
        if late:
            stop()
    if late:  # even if it is done by now: it may have failed because it was stopped
        raise Expired
    return outcome.take()


class _Outcome(Generic[T]):
    """What becomes of some work on another thread."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.done = False
        self._work = work
        self._results: list[T] = []
        self._errors: list[BaseException] = []

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller is
            self._errors.append(error)
        self.done = True

    def take(self) -> T:
        if self._errors:
            raise self._errors.pop()  # popped: no reference cycle keeps the batch alive
        return self._results.pop()
