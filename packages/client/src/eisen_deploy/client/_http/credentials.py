"""The header by which the server knows who is asking."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable

from eisen_deploy.client._errors import Unauthorized
from eisen_deploy.client._shared.errors import ContractError
from eisen_deploy.client._shared.wire import strict_json
from eisen_deploy.client._waiting.callbacks import wrap_caller_errors

_MAX_FILE = 2**16
_TOKEN = re.compile("[!-~]+")


class Credentials:
    """A token, or the user part of the URL, or nothing.

    :param token: its text, a file that holds it, or a function that returns it.
    :raises ValueError: if the token cannot be sent, or there are both.
    """

    def __init__(
        self, token: str | os.PathLike[str] | Callable[[], str] | None, user: tuple[str, str] | None
    ) -> None:
        if token is not None and user is not None:
            raise ValueError("give either a token or a user in the url, not both")
        self._token = token
        self._user = user
        if not self.renewable:
            _check_token(token)

    @property
    def renewable(self) -> bool:
        """Whether the token may be another one when it is read again."""
        return callable(self._token) or isinstance(self._token, os.PathLike)

    def read(self) -> dict[str, str]:
        """Return the header of one request, if there is one to set; the token is read anew.

        :raises Unauthorized: if a file holds no token that can be sent.
        :raises CallerError: with what a function raised, or if it returned no token.
        """
        if self._user is not None:
            pair = base64.b64encode(":".join(self._user).encode())
            return {"Authorization": f"Basic {pair.decode()}"}
        token = self._read_token()
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def _read_token(self) -> str | None:
        if isinstance(self._token, os.PathLike):
            return _read_file(self._token)
        with wrap_caller_errors():
            return _check_token(self._token() if callable(self._token) else self._token)


def _read_file(path: os.PathLike[str]) -> str:
    """Return the token in a file: its one line, or the inference key of a ``key_file.json``."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any path-like will do
            raw = file.read(_MAX_FILE)
    except OSError as error:
        raise Unauthorized(
            f"the token's file cannot be read: {error.strerror or type(error).__name__}"
        ) from None
    # Windows: PowerShell redirects to UTF-16, Notepad may put a mark before UTF-8.
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    token = raw.decode(encoding, "replace").strip()
    if token.startswith("{"):
        token = _inference_key(token)
    if not _TOKEN.fullmatch(token):
        raise Unauthorized(
            "the token's file holds no token: expected one line, or TorchServe's key_file.json"
        )
    return token


def _inference_key(text: str) -> str:
    try:
        entry = strict_json.loads_object(text.encode(), "the file of the token").get("inference")
    except ContractError:
        return ""
    key = entry.get("key") if isinstance(entry, dict) else None
    return key if isinstance(key, str) else ""


def _check_token(token: object) -> str | None:
    if token is None or (isinstance(token, str) and _TOKEN.fullmatch(token)):
        return token
    raise ValueError(
        "token must be a str of printable ASCII characters without spaces, the Path of a file, "
        "a function that returns one, or None"
    )
