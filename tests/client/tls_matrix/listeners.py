"""The honest server, one that must learn nothing, and a proxy: each keeps what it was sent."""

from __future__ import annotations

import base64
import select
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tests.client.conftest import Conversation, ScriptedServer, oip

GOOD = oip({"y": 1})


class Listener:
    """A model's server.

    :param answers: one after the other; the last one is that to all further requests.
    :ivar heads: the headers of each request.
    :ivar certificates: the common name of each client that showed a certificate.
    """

    def __init__(
        self, context: ssl.SSLContext | None = None, answers: Sequence[bytes] = (GOOD,)
    ) -> None:
        self.heads: list[dict[str, str]] = []
        self.certificates: list[str] = []
        self.on_request = lambda: None
        self._context = context
        self._answers = list(answers)
        self.server = ScriptedServer(self._talk)

    @property
    def authorizations(self) -> list[str]:
        """What each request said of who asks."""
        return [head.get("authorization", "-") for head in self.heads]

    def _talk(self, peer: Conversation) -> None:
        if self._context is None:
            self._serve(peer)
            return
        with self._context.wrap_socket(
            peer.sock, server_side=True, do_handshake_on_connect=False
        ) as sock:
            try:
                sock.do_handshake()
            except ssl.SSLError:
                # Closing with bytes unread is a reset, which may overtake the reason.
                while socket.socket.recv(sock, 65536):
                    pass
                return
            shown: Any = sock.getpeercert() or {}
            names = [pair[1] for entry in shown.get("subject", ()) for pair in entry]
            self.certificates.extend(name for name in names if name == "workstation")
            peer.sock = sock
            self._serve(peer)

    def _serve(self, peer: Conversation) -> None:
        while (request := peer.receive()) is not None:
            self.heads.append(request.headers)
            self.on_request()
            peer.send(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


class Proxy:
    """A proxy that leads all that it is asked for to one server.

    :param manner: ``"tunnel"``, ``"wants a password"``, or the bytes with which it answers all.
    :ivar heads: its requests: the first line, and the headers.
    """

    def __init__(
        self, manner: str | bytes, port: int, context: ssl.SSLContext | None = None
    ) -> None:
        self.heads: list[tuple[str, dict[str, str]]] = []
        self._manner = manner
        self._port = port
        self.server = ScriptedServer(self._talk, context)

    @property
    def asked(self) -> list[str]:
        """The method of each request, and the proxy's own credentials with it."""
        return [
            f"{line.split()[0]} {head.get('proxy-authorization', '-')}" for line, head in self.heads
        ]

    def _talk(self, peer: Conversation) -> None:
        head = peer.receive_head()
        if head is None:
            return
        self.heads.append(head)
        line, headers = head
        if isinstance(self._manner, bytes):
            peer.send(self._manner)
            # Closing with bytes unread is a reset, which may overtake the answer.
            peer.sock.shutdown(socket.SHUT_WR)
            peer.wait_for_close()
            return
        if self._manner == "is silent":
            peer.wait_for_close()
            return
        right = "Basic " + base64.b64encode(b"us@er:pass").decode()
        if self._manner == "wants a password" and headers.get("proxy-authorization") != right:
            peer.send(b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self._port)) as server:
            if line.startswith("CONNECT "):
                peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                kept = [f"{k}: {v}" for k, v in headers.items() if not k.startswith("proxy-")]
                server.sendall("\r\n".join([line, *kept]).encode() + b"\r\n\r\n")
            server.sendall(bytes(peer._rest))
            _relay(peer.sock, server)


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Pass on bytes in both directions until one side ends."""
    with suppress(OSError):
        while True:
            ready, _, _ = select.select([client, server], [], [], 10)
            for sock in ready or [client]:
                data = sock.recv(65536)
                if not data:
                    return
                (server if sock is client else client).sendall(data)
                while isinstance(sock, ssl.SSLSocket) and sock.pending():
                    server.sendall(sock.recv(65536))
