"""Ends calls from another thread."""

from __future__ import annotations


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
