"""Calls to a server that was started here: a prediction, and what it says of its workers."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_MOST_READ = 2**16


class Answer(NamedTuple):
    """What came back: the status (0: nothing did) and the first 64 KiB of the body."""

    status: int
    body: bytes = b""


class Server:
    """The addresses of a server, and the folder with its keys.

    :param inference_url: such as ``http://127.0.0.1:8080``; of ``https`` the certificate is not
        checked, since whose server this is, is known.
    :param folder: holds ``key_file.json`` if the server asks for tokens. It is read at each call:
        a server that was started again has new keys.
    """

    def __init__(self, inference_url: str, management_url: str, folder: Path) -> None:
        self.inference_url = inference_url
        self.management_url = management_url
        self.folder = folder
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # A proxy of the environment has no business with a server on loopback.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

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
        url = f"{self.inference_url}/predictions/{model}"
        return self._call(url, "inference", timeout, body, headers or {})

    def is_answering(self, timeout: float) -> bool:
        """Return whether the server answers anything, within so many seconds."""
        return self._call(f"{self.inference_url}/ping", "inference", timeout).status != 0

    def workers(self, model: str) -> list[dict[str, Any]]:
        """Return what the management API says of a model's workers; nothing if it says nothing."""
        answer = self._call(f"{self.management_url}/models/{model}", "management", 5.0)
        try:
            workers: list[dict[str, Any]] = json.loads(answer.body)[0]["workers"]
        except (ValueError, LookupError, TypeError):
            return []
        return workers

    def _call(
        self,
        url: str,
        api: str,
        timeout: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        method = "GET" if body is None else "POST"
        request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310
        key = read_key(self.folder, api)
        if key is not None:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with self._opener.open(request, timeout=timeout) as reply:
                return Answer(reply.status, reply.read(_MOST_READ))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(_MOST_READ))
        except (OSError, ValueError):
            return Answer(0)


def read_key(folder: Path, api: str) -> str | None:
    """Return the key of an API (``inference`` or ``management``); ``None`` without keys."""
    try:
        key: str = json.loads((folder / "key_file.json").read_text("utf-8"))[api]["key"]
    except (OSError, ValueError, LookupError):
        return None
    return key
