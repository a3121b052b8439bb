"""What a case is: how a server behaves, and exactly what the client has to make of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from tests.client.conftest import Conversation, error, oip, reply

from eisen_deploy.client import EisenClientError, Retries

#: What the model answers, and says of itself, where a case ends well.
Y = np.arange(5, dtype=np.float32)
METADATA = {"inputs": [], "outputs": [], "custom": {"n": 12}}
#: A call may send a request four times, and soon.
RETRIES = Retries(3, first_delay=0.001)
#: How often a server sees a request that may be sent again as often as that.
AGAIN = 4

Expected = type[EisenClientError]


@dataclass
class Tally:
    """What a server counted in one case."""

    connections: int = 0
    requests: int = 0
    #: A script sets it when the next call may begin.
    ready: threading.Event = field(default_factory=threading.Event)


class Peer(Conversation):
    """The server's side of one connection, counted."""

    def __init__(self, conversation: Conversation, tally: Tally) -> None:
        super().__init__(conversation.sock, conversation.number, conversation.seen)
        self.tally = tally
        tally.connections += 1
        self.nth = tally.connections

    def receive_head(self) -> tuple[str, dict[str, str]] | None:
        head = super().receive_head()
        self.tally.requests += head is not None
        return head


class Case(NamedTuple):
    """One behaviour of a server, and what comes of it.

    :param expected: the exact class of the error, or ``None`` for the whole and right result.
    :param then: the same for further calls of the same client.
    :param requests: how many the server sees in all.
    :param connections: likewise; as many as requests where it is ``None``, any if negative.
    :param batch: ``None`` to ask for the metadata.
    :param waits: whether the second call begins only when the script says so.
    """

    name: str
    script: Callable[[Peer], None]
    expected: Expected | None
    requests: int = 1
    connections: int | None = None
    timeout: float = 10
    batch: Mapping[str, Any] | None = MappingProxyType({"x": 1})
    then: tuple[Expected | None, ...] = ()
    waits: bool = False
    client: Mapping[str, Any] = MappingProxyType({})
    call: Mapping[str, Any] = MappingProxyType({})


def sends(*pieces: bytes) -> Callable[[Peer], None]:
    """Return a script that answers the one request of each connection, and ends the connection."""

    def script(peer: Peer) -> None:
        if peer.receive() is not None:
            peer.send(*pieces)

    return script


def keeps(answer: bytes) -> Callable[[Peer], None]:
    """Return a script that gives every request the same answer, and keeps the connection."""

    def script(peer: Peer) -> None:
        while peer.receive() is not None:
            peer.send(answer)

    return script


def resets(*pieces: bytes) -> Callable[[Peer], None]:
    """Return a script like :func:`sends` that ends each connection with a reset."""

    def script(peer: Peer) -> None:
        if peer.receive() is not None:
            peer.send(*pieces)
            peer.reset()

    return script


def split(answer: bytes) -> tuple[bytes, bytes]:
    """Return the head, its empty line included, and the body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def raw(
    headers: Mapping[str, str] | list[tuple[str, str]], body: bytes, status: int = 200
) -> bytes:
    """Return an answer with just these headers."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"HTTP/1.1 {status} ", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunk(body: bytes, size: int = 100) -> bytes:
    """Return a body in chunks, the last one included."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


#: A good reply, and its parts.
GOOD = oip({"y": Y})
HEAD, BODY = split(GOOD)
JSON_SIZE = len(BODY) - Y.nbytes
BINARY = {
    "Content-Type": "application/octet-stream",
    "Inference-Header-Content-Length": str(JSON_SIZE),
}

__all__ = [
    "AGAIN",
    "BINARY",
    "BODY",
    "GOOD",
    "HEAD",
    "JSON_SIZE",
    "METADATA",
    "RETRIES",
    "Case",
    "Peer",
    "Tally",
    "Y",
    "chunk",
    "error",
    "keeps",
    "oip",
    "raw",
    "reply",
    "resets",
    "sends",
    "split",
]
