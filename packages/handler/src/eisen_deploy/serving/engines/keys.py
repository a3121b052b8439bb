"""Tokens in files: TorchServe's ``key_file.json``, or a file with nothing but a token.

A server makes one at its start, or the operator gives it one that may change while it runs.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from eisen_deploy.serving.runtime.errors import ServingError

from .options import Options


class Keys(NamedTuple):
    """Tokens: one for inference, one for management; neither is empty."""

    inference: str | None = None
    management: str | None = None


def parse_keys(raw: bytes) -> Keys:
    """Read tokens from what such a file holds; none where it holds none."""
    text = raw.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return Keys(text or None)
    try:
        keys = json.loads(text)
    except ValueError:  # it is just being written
        return Keys()
    return Keys(_find(keys, "inference"), _find(keys, "management"))


def read_keys(path: Path) -> Keys:
    """Read tokens from a file.

    :raises OSError: if the file cannot be read.
    """
    return parse_keys(path.read_bytes())


class ServersToken:
    """What clients have to send to a server: of the operator's own file, or new at each start.

    :param folder: where a new one goes, as in TorchServe's ``key_file.json``.
    :ivar path: of the file; ``None`` for a server without a token.
    """

    def __init__(self, options: Options, folder: Path) -> None:
        self._is_new = options.token_auth and options.token_file is None
        self.path = folder / "key_file.json" if self._is_new else options.token_file

    def make(self) -> None:
        """Write a new token, unless the operator has given one.

        :raises OSError: if it cannot be written.
        """
        if self._is_new and self.path is not None:
            key = secrets.token_urlsafe(32)
            write_private(self.path, json.dumps({"inference": {"key": key}}))

    def read(self) -> str | None:
        """Return the token."""
        return None if self.path is None else read_keys(self.path).inference

    def remove(self) -> None:
        """Remove what was written."""
        if self._is_new and self.path is not None:
            self.path.unlink(missing_ok=True)


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
                key = parse_keys(self._path.read_bytes()).inference or ""
                self._token, self._mark = key.encode("utf-8"), mark
        except OSError:  # being replaced: the old one goes on for as long as that takes
            pass
        return self._token


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody but its owner can read, in place of one that may be there.

    :raises OSError: if it cannot be written.
    """
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)


def _find(keys: object, api: str) -> str | None:
    entry = keys.get(api) if isinstance(keys, dict) else None
    key = entry.get("key") if isinstance(entry, dict) else None
    return key or None if isinstance(key, str) else None
