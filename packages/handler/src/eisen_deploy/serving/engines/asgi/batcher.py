"""Requests in a bounded queue, answered in batches on the one thread that runs the model.

The event loop puts requests in and waits; :meth:`Batcher.run` answers them, on whichever thread
calls it: the process's main one, where the time for a batch can be interrupted by a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from eisen_deploy.serving.runtime.errors import (
    ModelFailed,
    NotExecuted,
    ServingError,
    TimedOut,
)
from eisen_deploy.serving.runtime.messages import Reply, Request

from .lending import LentReply

Answer = Callable[[Sequence[Request]], list[Reply]]


_NOT_EXECUTED = "nothing was executed, the request can be sent again"


class Waiting:
    """One request in the queue, and the reply to it."""

    def __init__(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self.since = time.monotonic()
        self.reply: asyncio.Future[LentReply] = loop.create_future()
        self._loop = loop

    def finish(self, reply: LentReply | ServingError) -> None:
        """Hand the reply, or the error that is the answer, to the event loop."""
        try:
            self._loop.call_soon_threadsafe(self._set, reply)
        except RuntimeError:  # the loop was closed: nobody waits any more
            return

    def _set(self, reply: LentReply | ServingError) -> None:
        if not self.reply.done():
            if isinstance(reply, ServingError):
                self.reply.set_exception(reply)
            else:
                self.reply.set_result(reply)


class Batcher:
    """The queue before a model.

    :param answer: answers a batch; never raises for what is in a request.
    :param size: requests in a batch, at most.
    :param delay: seconds that a batch waits for more requests.
    :param queue: requests that may wait.
    :param timeout: seconds for an answer, counted from when its batch begins; a request that has
        waited as long for its turn is not begun.
    """

    def __init__(
        self, answer: Answer, *, size: int, delay: float, queue: int, timeout: float
    ) -> None:
        self._answer, self._size, self._delay = answer, size, delay
        self._queue, self.timeout = queue, timeout
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._running: list[Waiting] = []
        self._lent: list[LentReply] = []
        self._began = 0.0
        self._closed = False
        #: Whether any batch has been answered.
        self.has_answered = False

    def put(self, request: Request) -> Waiting:
        """Put a request into the queue; called on an event loop's thread.

        :raises NotExecuted: if too many wait already, or it is closed.
        """
        waiting = Waiting(request, asyncio.get_running_loop())
        with self._changed:
            if self._closed:
                raise NotExecuted(f"the server is stopping; {_NOT_EXECUTED}")
            if len(self._waiting) >= self._queue:
                raise NotExecuted(f"{self._queue} requests wait already; {_NOT_EXECUTED}")
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting

    def drop(self, waiting: Waiting) -> None:
        """Take a request out of the queue, unless it is begun: nobody waits for its reply."""
        with self._changed, contextlib.suppress(ValueError):
            self._waiting.remove(waiting)

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        return not self._closed

    @property
    def is_hung(self) -> bool:
        """Whether the running batch takes longer than it may: nothing has interrupted it."""
        return bool(self._running) and time.monotonic() - self._began > self.timeout

    def expire(self) -> None:
        """Answer what has waited too long for its turn; called now and then."""
        with self._changed:
            late = time.monotonic() - self.timeout
            while self._waiting and self._waiting[0].since < late:
                self._waiting.popleft().finish(
                    NotExecuted(f"it waited {self.timeout:g} s for its turn; {_NOT_EXECUTED}")
                )

    def give_up(self) -> None:
        """Answer what runs with 504 or 500 and what waits with 503, and take nothing more."""
        with self._changed:
            self._closed = True
            running, waiting = list(self._running), list(self._waiting)
            self._waiting.clear()
        if self.is_hung:
            why: ServingError = TimedOut(f"the model did not answer within {self.timeout:g} s")
        else:
            why = ModelFailed("the model ended the process that serves it; the log shows where")
        for each in running:
            each.finish(why)
        for each in waiting:
            each.finish(NotExecuted(f"the model's process ends; {_NOT_EXECUTED}"))

    def close(self) -> None:
        """Take no more requests; :meth:`run` returns once those that wait are answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """Answer batches until it is closed, or user code ends more than its request."""
        try:
            while (batch := self._next()) is not None:
                self._run(batch)
                del batch  # and with it the bodies, while the next one is waited for
        finally:
            self.give_up()

    def _run(self, batch: list[Waiting]) -> None:
        self._began, self._running = time.monotonic(), batch
        for each in self._lent:
            each.keep()
        replies = self._answer([each.request for each in batch])
        self._lent = [LentReply(reply) for reply in replies]
        for waiting, lent in zip(batch, self._lent, strict=True):
            waiting.finish(lent)
        self._running, self.has_answered = [], True

    def _next(self) -> list[Waiting] | None:
        """Return the next batch; ``None`` at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return None
                if self._size > 1 and self._delay:
                    self._changed.wait_for(self._is_full, self._delay)
                size = min(len(self._waiting), self._size)
                if batch := [self._waiting.popleft() for _ in range(size)]:
                    return batch

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._size or self._closed
