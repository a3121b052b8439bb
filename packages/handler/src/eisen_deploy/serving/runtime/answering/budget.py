"""The time within which a batch has to be answered.

A server ends a worker that takes longer than its response timeout, and with it every request of the
batch. So all of a batch has to be answered a little earlier: what does not end by itself is
interrupted where that can be done (:mod:`.interrupts`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from .interrupts import Interrupt, Interrupted

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")
T = TypeVar("T")

#: Of the response timeout this share, within these seconds, is left for sending the reply.
MARGIN = 0.1
MARGIN_SECONDS = (1.0, 5.0)


def leave_margin(timeout: float) -> float:
    """Return the seconds in which a batch must be answered, under a response timeout in seconds.

    A tenth of it is left, at least 1 s and at most 5 s, but never more than half of it.
    """
    least, most = MARGIN_SECONDS
    return timeout - min(max(MARGIN * timeout, least), most, timeout / 2)


class Budget:
    """The time for one batch, from entering it as a context to leaving it.

    :param seconds: ``None`` for as long as it takes.
    :param interrupt: what ends a function whose time is over.
    """

    def __init__(self, seconds: float | None, interrupt: Interrupt) -> None:
        self.seconds = seconds
        self._interrupt = interrupt
        self._end = float("inf")

    def __enter__(self) -> Self:
        if self.seconds is not None:
            self._end = time.monotonic() + self.seconds
            self._interrupt.start(self.seconds)
        return self

    def __exit__(self, *_: object) -> None:
        self._interrupt.stop()

    @property
    def is_spent(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._end

    def check(self) -> None:
        """See whether there is time left.

        :raises Interrupted: if it is over.
        """
        if self.is_spent:
            raise Interrupted

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that may be interrupted.

        :raises Interrupted: if the time is over before it ends. Also if it swallowed the
            interruption: what it gave then may lack a part.
        """
        try:
            result = self._interrupt.call(function, *args, **kwargs)
        except (Exception, SystemExit):
            self.check()  # what it raised may be what it made of the interruption
            raise
        self.check()
        return result
