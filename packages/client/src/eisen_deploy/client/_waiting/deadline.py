"""One deadline for a whole call, which may also be cancelled before, from another thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .threads import Outcome, start

T = TypeVar("T")

#: Sockets cannot wait for longer than some 24 days.
MAX_SECONDS = 1_000_000
#: Seconds after which a wait looks whether its call was cancelled; also, Windows delivers Ctrl+C
#: only between waits.
POLL_SECONDS = 0.05


class Cancellation:
    """Ends the calls that it was given to as ``cancel=``, with :class:`Cancelled`.

    It may be given to any number of calls and cancelled from any thread, a signal handler
    included, any number of times. A call ends within half a second, whatever it is doing; one that
    begins after that ends at once; one that is done stays done.
    """

    def __init__(self) -> None:
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def cancel(self) -> None:
        """End the calls; there is no way back."""
        self._cancelled = True  # calls look at it: a callback could wait for a lock of theirs

    def __repr__(self) -> str:
        return f"Cancellation(cancelled={self._cancelled})"


class Stopped(Exception):
    """The work is not wanted any more."""


class Expired(Stopped):
    """The work was not done at its deadline."""


class CancelRequested(Stopped):
    """Somebody cancelled the call."""


class Deadline:
    """When a call has to end: some seconds from now, or as soon as somebody cancels it.

    :param seconds: ``None`` for no limit.
    """

    def __init__(self, seconds: float | None, *cancellations: Cancellation | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds
        self._cancellations = [each for each in cancellations if each is not None]

    @property
    def remaining(self) -> float | None:
        """Seconds left, 0 or more; ``None`` for no limit."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """Return this deadline, or one some seconds from now if that is earlier."""
        remaining = self.remaining
        seconds = seconds if remaining is None else min(seconds, remaining)
        return Deadline(seconds, *self._cancellations)

    def check(self) -> None:
        """Raise what stops the work, if anything does.

        :raises CancelRequested: if it was cancelled.
        :raises Expired: if the deadline has passed.
        """
        if any(each.cancelled for each in self._cancellations):
            raise CancelRequested
        if self.remaining == 0:
            raise Expired

    def wait(self, seconds: float) -> None:
        """Wait some seconds; errors as of :meth:`check`."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_SECONDS, self.remaining or POLL_SECONDS))


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


def run_until(
    deadline: Deadline,
    work: Callable[[], T],
    stop: Callable[[], None],
    look: Callable[[], None] | None = None,
) -> T:
    """Return the result of some work, or give it up at the deadline.

    The work runs on a thread of its own and this one only waits for it. Timeouts of sockets
    alone would not do: each applies to one operation, so a server that sends a byte a second,
    or a host with many dead addresses, outlasts them.

    :param stop: makes the work end soon; called whenever the work is given up.
    :param look: called on this thread every now and then, and once when the work is done.
    :raises Expired: if the deadline passes first.
    :raises CancelRequested: if it is cancelled first.
    """
    deadline.check()
    outcome = Outcome(work)
    start(outcome)
    try:
        done = False
        while not done:
            deadline.check()
            done = outcome.wait(min(POLL_SECONDS, deadline.remaining or POLL_SECONDS))
            if look is not None:
                look()
    finally:  # also for KeyboardInterrupt
        if not outcome.is_done:
            stop()
    return outcome.take()
