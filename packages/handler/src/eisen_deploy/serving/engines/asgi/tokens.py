"""The token that clients have to send, read from a file that may change while the server runs."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

from eisen_deploy.serving.runtime.errors import ServingError


class Unauthorized(ServingError):
    """The request has no token, or another one than the server's."""

    status = 401


class TokenFile:
    """A file with one line, or TorchServe's ``key_file.json``, whose inference key is the token."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, ...] = ()
        self._token = b""

    def check(self, authorization: str | None) -> None:
        """Compare what a request sends with the token, in a time that does not depend on either.

        :param authorization: the header of that name.
        :raises Unauthorized: if it is not the token, or the server has none to compare with.
        """
        scheme, _, sent = (authorization or "").partition(" ")
        token = self._read()
        is_right = hmac.compare_digest(sent.strip().encode("utf-8", "replace"), token)
        if not token or scheme.lower() != "bearer" or not is_right:
            raise Unauthorized(
                "the server wants a token: send it as the header Authorization: Bearer TOKEN"
            )

    def _read(self) -> bytes:
        """Return the token; read again only if the file is not the one that was read."""
        try:
            status = self._path.stat()
            mark = (status.st_ino, status.st_size, status.st_mtime_ns)
            if mark != self._mark:
                self._token, self._mark = read_token(self._path), mark
        except OSError:  # being replaced: the old one goes on for as long as that takes
            pass
        return self._token


def read_token(path: Path) -> bytes:
    """Return the token in a file of either form; nothing if there is none in it.

    :raises OSError: if it cannot be read.
    """
    text = path.read_bytes().strip()
    if not text.startswith(b"{"):
        return text
    try:
        return str(json.loads(text)["inference"]["key"]).encode("ascii")
    except (ValueError, KeyError, TypeError):
        return b""
