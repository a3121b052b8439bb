"""Requests to a server that may not be well: short, direct, and never waiting for long.

No proxy is asked: it would not tell of the server. Nothing is sent that changes anything.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_LARGEST = 2**22


@dataclass(frozen=True)
class Endpoint:
    """One address of a server.

    :param host: without the brackets of an IPv6 address.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read a URL; what stands behind the host and the port is left out.

        :raises ValueError: if it is none.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"expected http://HOST:PORT or https://HOST:PORT, came {url!r}")
        return cls(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORT[parts.scheme])

    def beside(self, port: int, host: str | None = None) -> Endpoint:
        """Return another address of the same server."""
        return Endpoint(self.scheme, host or self.host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


_DEFAULT_PORT = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """An answer of a server; status 0 where none came, with the reason as text."""

    status: int
    body: bytes = b""
    reason: str = ""

    @property
    def json(self) -> Any:
        """Its body, parsed; ``None`` if it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def kind(self) -> str:
        """The ``type`` of TorchServe's errors, as ``InvalidKeyException``."""
        parsed = self.json
        return str(parsed.get("type", "")) if isinstance(parsed, dict) else ""


def ask(
    endpoint: Endpoint, method: str, path: str, *, token: str | None = None, timeout: float = 5.0
) -> Answer:
    """Send a request without a body and return the answer, whatever it is.

    The certificate is not checked here: :mod:`.tls` tells what is wrong with it.

    :param timeout: for the connection and for each piece of the answer, in seconds; twice as much
        for all of it.
    """
    connection = _connection(endpoint, timeout)
    headers = {"Content-Length": "0"} if method == "POST" else {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    deadline = time.monotonic() + 2 * timeout
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        body = bytearray()
        while len(body) < _LARGEST and time.monotonic() < deadline:
            piece = reply.read1(2**16)
            if not piece:
                return Answer(reply.status, bytes(body))
            body += piece
        return Answer(0, reason=f"no end of the answer in {2 * timeout:g} s")
    except TimeoutError:
        return Answer(0, reason=f"no answer in {timeout:g} s")
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, reason=getattr(error, "strerror", None) or type(error).__name__)
    finally:
        connection.close()


def _connection(endpoint: Endpoint, timeout: float) -> http.client.HTTPConnection:
    if endpoint.scheme == "http":
        return http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(
        endpoint.host, endpoint.port, timeout=timeout, context=context
    )


def takes_body(endpoint: Endpoint, count: int, timeout: float = 5.0) -> bool | None:
    """Ask whether a body of so many bytes would be taken, without sending any of it.

    Netty's ``HttpObjectAggregator``, which TorchServe gives ``max_request_size``, answers
    ``Expect: 100-continue`` with 100 or 413 by the length alone, and before it looks at a token
    (tried).

    :return: ``None`` if there is neither answer.
    """
    connection = _connection(endpoint, timeout)
    try:
        connection.connect()
        connection.putrequest("POST", "/predictions/-")
        connection.putheader("Content-Length", str(count))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        status = connection.sock.recv(64).split(b" ")[1:2]
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return {b"100": True, b"413": False}.get(b"".join(status))


def own_address() -> str | None:
    """Return the address under which other machines reach this one, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: documentation's own network
            address: str = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address
