"""A server whose every move is scripted, on a raw socket: it can break each rule of HTTP."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from eisen_deploy.client import EisenClientError, EisenServingClient
from eisen_deploy.client._shared.wire import protocol

PATH = "/predictions/seg"


@dataclass
class Received:
    """One request as the server saw it."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    def decode(self) -> protocol.Request:
        size = protocol.parse_json_size(
            self.headers.get(protocol.LENGTH_HEADER.lower()), len(self.body)
        )
        return protocol.decode_request(bytearray(self.body), size)


@dataclass
class Conversation:
    """The server's side of one connection."""

    sock: socket.socket
    number: int
    seen: list[Received]
    _rest: bytearray = field(default_factory=bytearray)

    def receive_head(self) -> tuple[str, dict[str, str]] | None:
        while b"\r\n\r\n" not in self._rest:
            piece = self.sock.recv(65536)
            if not piece:
                return None
            self._rest += piece
        head, _, rest = bytes(self._rest).partition(b"\r\n\r\n")
        self._rest = bytearray(rest)
        line, *fields = head.decode("latin-1").split("\r\n")
        pairs = (text.partition(":") for text in fields)
        return line, {name.lower(): value.strip() for name, _, value in pairs}

    def receive(self) -> Received | None:
        """Receive a whole request; ``None`` when the client has closed the connection."""
        head = self.receive_head()
        if head is None:
            return None
        line, headers = head
        length = int(headers.get("content-length", "0"))
        while len(self._rest) < length:
            piece = self.sock.recv(65536)
            if not piece:
                raise ConnectionError("the client left in the middle of a request")
            self._rest += piece
        body, self._rest = bytes(self._rest[:length]), self._rest[length:]
        request = Received(line, headers, body, self.number)
        self.seen.append(request)
        return request

    def discard_body(self, length: int) -> None:
        """Receive a body without keeping it."""
        length -= len(self._rest)
        buffer = bytearray(65536)
        while length > 0:
            received = self.sock.recv_into(buffer)
            if not received:
                raise ConnectionError("the client left in the middle of a request")
            length -= received

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def drip(self, data: bytes, pause: float) -> None:
        for index in range(len(data)):
            self.send(data[index : index + 1])
            time.sleep(pause)

    def reset(self) -> None:
        """Close with a reset instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_close(self) -> None:
        """Say nothing until the client gives up."""
        while self.sock.recv(65536):
            pass


Script = Callable[[Conversation], None]


def reply(status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """Return the bytes of an HTTP answer; ``Content-Length`` is set unless it is given."""
    fields = {"Content-Length": str(len(body)), **(headers or {})}
    lines = [f"HTTP/1.1 {status} ", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def oip(outputs: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a proper answer to a prediction."""
    body = protocol.encode_reply(outputs, model_name="seg", model_version="1.0")
    return reply(200, {**body.headers, **(headers or {})}, b"".join(body.buffers))


def error(status: int, type_: str, message: str = "no", **more: Any) -> bytes:
    """Return the bytes of an error in JSON."""
    told = {"code": status, "type": type_, "message": message, **more}
    return reply(status, {"Content-Type": "application/json"}, json.dumps(told).encode())


def always(answer: bytes) -> Script:
    """Return a script that gives every request the same answer."""

    def script(peer: Conversation) -> None:
        while peer.receive() is not None:
            peer.send(answer)

    return script


def once(answer: bytes) -> Script:
    """Return a script that gives one answer and closes the connection."""

    def script(peer: Conversation) -> None:
        peer.receive()
        peer.send(answer)

    return script


def echo(metadata: Mapping[str, Any] | None = None) -> Script:
    """Return a script that sends inputs back as outputs, and metadata for an empty request."""

    def script(peer: Conversation) -> None:
        while (request := peer.receive()) is not None:
            if request.body:
                peer.send(oip(request.decode().inputs))
            else:
                peer.send(reply(200, body=json.dumps(metadata).encode()))

    return script


class ScriptedServer:
    """Runs ``script`` for each connection, on loopback, each on its own thread.

    What a script raises is kept in ``failures`` unless it is the client's leaving.
    """

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.seen: list[Received] = []
        self.connections = 0
        self.failures: list[Exception] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{PATH}"

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._socks.append(sock)
            thread = threading.Thread(target=self._talk, args=(sock, self.connections))
            self._threads.append(thread)
            thread.start()

    def _talk(self, sock: socket.socket, number: int) -> None:
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            with sock:
                self.script(Conversation(sock, number, self.seen))
        except OSError:
            pass  # the client has left
        except Exception as failure:  # noqa: BLE001 - raised after the test
            self.failures.append(failure)
        finally:
            sock.close()


@dataclass(frozen=True)
class Tools:
    """What scripts are made of."""

    reply = staticmethod(reply)
    oip = staticmethod(oip)
    error = staticmethod(error)
    always = staticmethod(always)
    once = staticmethod(once)
    echo = staticmethod(echo)


@pytest.fixture(scope="session")
def http() -> Tools:
    return Tools()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own environment out."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start a server: ``serve(script, context=None) -> server``."""
    servers: list[ScriptedServer] = []

    def start(script: Script, context: ssl.SSLContext | None = None) -> ScriptedServer:
        servers.append(ScriptedServer(script, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    assert [failure for server in servers for failure in server.failures] == []


@pytest.fixture
def connect() -> Iterator[Callable[..., EisenServingClient]]:
    """Make a client of a server that is closed after the test: ``connect(server, **options)``."""
    clients: list[EisenServingClient] = []

    def make(server: ScriptedServer | str, *args: Any, **options: Any) -> EisenServingClient:
        url = server if isinstance(server, str) else server.url
        clients.append(EisenServingClient(url, *args, **{"timeout": 10, "retries": 0, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def certificates() -> Path:
    """A folder with ``authority.pem``, ``stranger.pem`` (another authority), and for 127.0.0.1
    ``server.pem`` and ``workstation.pem``, which hold a certificate and its key each.
    """
    return Path(__file__).parent / "certificates"


@pytest.fixture
def tls_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    return context


@pytest.fixture
def fails(serve, connect):
    """Return the error that a script causes, after one request."""

    def call(script, method="predict", **options):
        server = serve(script)
        client = connect(server, **options)
        with pytest.raises(EisenClientError) as caught:
            client.predict({"x": 1}) if method == "predict" else client.get_metadata()
        assert server.connections == 1
        return caught.value

    return call
