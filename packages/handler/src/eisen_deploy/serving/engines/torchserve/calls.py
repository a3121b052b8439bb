"""Calls to a TorchServe: any request, what it says of its workers, and the tokens that it wants."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from eisen_deploy.serving.engines.keys import Keys, read_keys

_MOST_READ = 2**22
_DEFAULT_PORT = {"http": 80, "https": 443}


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

        :raises ValueError: if it is not a URL of http or https.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in _DEFAULT_PORT or not parts.hostname:
            raise ValueError(f"expected http://HOST:PORT or https://HOST:PORT, got {url!r}")
        return cls(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORT[parts.scheme])

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """Return a connection, past any proxy; the certificate is not checked."""
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=context)

    def beside(self, port: int, host: str | None = None) -> Endpoint:
        """Return another address of the same server."""
        return Endpoint(self.scheme, host or self.host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """What a server answered: the status, and the first 4 MiB of the body.

    :param status: 0 where nothing was answered, with the reason as text.
    """

    status: int
    body: bytes = b""
    reason: str = ""

    @property
    def json(self) -> Any:
        """Its body, parsed; ``None`` if it is not JSON."""
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
    endpoint: Endpoint,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    token: str | None = None,
    timeout: float = 5.0,
) -> Answer:
    """Send a request and return the answer, whatever it is; nothing is raised.

    :param timeout: of each step of the connection, in seconds; reading the answer may take twice
        as long in all.
    """
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection = endpoint.connect(timeout)
    try:
        connection.request(method, path, body, headers)
        reply, read = connection.getresponse(), bytearray()
        deadline = time.monotonic() + 2 * timeout
        while len(read) < _MOST_READ and (piece := reply.read1(2**16)):
            read += piece
            if time.monotonic() > deadline:
                return Answer(0, reason=f"no end of the answer in {2 * timeout:g} s")
        return Answer(reply.status, bytes(read))
    except TimeoutError:
        return Answer(0, reason=f"no answer in {timeout:g} s")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(0, reason=getattr(error, "strerror", None) or type(error).__name__)
    finally:
        connection.close()


def ask_workers(
    management: Endpoint, model: str, *, token: str | None = None, timeout: float = 5.0
) -> list[Worker] | None:
    """Return what the management API says of a model's workers; ``None`` if it says nothing.

    :param model: its part of the URL: a name, or ``name/version``.
    """
    answer = ask(management, "GET", f"/models/{model}", token=token, timeout=timeout)
    try:
        listed = answer.json[0]["workers"]
        return [Worker(str(each["id"]), str(each["status"]), int(each["pid"])) for each in listed]
    except (LookupError, TypeError, ValueError):
        return None


class Worker(NamedTuple):
    """A worker as the management API lists it; its process is 0 or -1 where there is none."""

    name: str
    status: str
    pid: int

    @property
    def is_ready(self) -> bool:
        """Whether its model is loaded."""
        return self.status == "READY"


class ServerCalls:
    """A server that was started here.

    :param inference_url: such as ``http://127.0.0.1:8080``.
    :param folder: holds ``key_file.json`` if the server asks for tokens. It is read at each call:
        a server that was started again has new keys.
    """

    def __init__(self, inference_url: str, management_url: str, folder: Path) -> None:
        self._inference = Endpoint.parse(inference_url)
        self._management = Endpoint.parse(management_url)
        self._key_file = folder / "key_file.json"

    @property
    def keys(self) -> Keys:
        """The tokens that it wants now; none where it asks for none."""
        try:
            return read_keys(self._key_file)
        except OSError:
            return Keys()

    def predict(
        self,
        model: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
    ) -> Answer:
        """Send a request; an empty one asks for the metadata.

        :param model: its part of the URL: a name, or ``name/version``.
        :param timeout: of each step of the connection, in seconds.
        """
        path, token = f"/predictions/{model}", self.keys.inference
        return ask(self._inference, "POST", path, body, headers, token=token, timeout=timeout)

    def is_answering(self, timeout: float) -> bool:
        """Return whether the server answers anything, within so many seconds."""
        return ask(self._inference, "GET", "/ping", timeout=timeout).status != 0

    def workers(self, model: str) -> list[Worker]:
        """Return what the management API says of a model's workers; nothing if it says nothing."""
        return ask_workers(self._management, model, token=self.keys.management) or []
