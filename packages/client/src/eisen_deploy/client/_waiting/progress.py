"""How far a transfer has got, for the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from eisen_deploy.client._http.caller_errors import wrap_caller_errors
from eisen_deploy.client._http.exchange import Exchange


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
) -> Callable[[], None] | None:
    """Return a function that calls the callback if there is anything new, or ``None``."""
    if callback is None:
        return None
    last: list[Progress] = []

    def look() -> None:
        now = Progress(exchange.sent, exchange.size, exchange.received, exchange.announced)
        if last != [now]:
            last[:] = [now]
            with wrap_caller_errors():
                callback(now)

    return look
