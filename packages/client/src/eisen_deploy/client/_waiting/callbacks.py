"""Functions of the caller's own: their errors reach the caller unchanged, and progress is shown.

Without a wrapper an ``OSError`` of theirs would be taken for a failure of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from eisen_deploy.client._http.exchange import Exchange


class CallerError(Exception):
    """Carries what a function of the caller raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@contextmanager
def wrap_caller_errors() -> Iterator[None]:
    """Wrap what is raised inside into :class:`CallerError`."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is
        raise CallerError(error) from None


class Progress(NamedTuple):
    """How far a call has got, in bytes of the bodies of request and reply.

    :param sent: handed to the system to be sent.
    :param to_send: of the whole request.
    :param received: of the reply.
    :param to_receive: of the whole reply; ``None`` as long as it is not known.
    """

    sent: int
    to_send: int
    received: int
    to_receive: int | None


def make_watcher(
    callback: Callable[[Progress], object] | None, exchange: Exchange
) -> Callable[[], None]:
    """Return a function that calls the callback, if there is one and anything is new."""
    last: list[Progress] = []

    def look() -> None:
        now = Progress(exchange.sent, exchange.size, exchange.received, exchange.announced)
        if callback is not None and last != [now]:
            last[:] = [now]
            with wrap_caller_errors():
                callback(now)

    return look
