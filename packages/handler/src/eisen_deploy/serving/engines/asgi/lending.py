"""Replies that lie in memory of the model, which may change it when it runs again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping

from eisen_deploy.serving.runtime.messages import Buffer, Reply


class ReplyLost(MemoryError):
    """There was no memory for what was left of a reply; the connection has to be closed."""


class LentReply:
    """A reply on its way: each piece is copied when it is its turn, while it is in the cache.

    Where the model is to run before all of it is sent, :meth:`keep` copies the rest at once.
    """

    def __init__(self, reply: Reply) -> None:
        self.status: int = reply.status
        self.headers: Mapping[str, str] = reply.headers
        self.size: int = reply.size
        self._left: deque[memoryview] | None = deque(memoryview(each) for each in reply.buffers)
        self._lock = threading.Lock()

    def pieces(self, most: int) -> Iterator[Buffer]:
        """Yield all of it, in pieces that nobody can change.

        :param most: bytes of one.
        :raises ReplyLost: if the rest could not be kept.
        """
        while (piece := self._take(most)) is not None:
            yield piece

    def own(self) -> Reply:
        """Return it as one that nobody can change."""
        return Reply(tuple(self.pieces(self.size)), self.status, self.headers)

    def keep(self) -> None:
        """Copy what is left: the model is about to run."""
        with self._lock:
            if self._left:
                try:
                    self._left = deque(memoryview(_own(each)) for each in self._left)
                except MemoryError:
                    self._left = None

    def _take(self, most: int) -> Buffer | None:
        with self._lock:
            if self._left is None:
                raise ReplyLost
            if not self._left:
                return None
            first = self._left.popleft()
            if len(first) > most:
                self._left.appendleft(first[most:])
            return _own(first[:most])


def _own(buffer: memoryview) -> Buffer:
    """Return bytes that nobody can change: a copy, unless they are, or are part of, such already.

    All of a buffer is always :class:`bytes`: some servers send messages to other processes.
    """
    whole = buffer.obj
    if not isinstance(whole, bytes):
        return bytes(buffer)
    return whole if len(whole) == buffer.nbytes else buffer
