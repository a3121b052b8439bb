"""What proves to the server who asks."""

from __future__ import annotations

import re
from collections.abc import Callable

from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth


class Credentials:
    """A token, or the user part of the URL, or nothing.

    :raises ValueError: if the token cannot be sent, or there are both.
    """

    def __init__(self, token: str | Callable[[], str] | None, user: tuple[str, str] | None) -> None:
        if token is not None and user is not None:
            raise ValueError("give either a token or a user in the url, not both")
        if not callable(token):
            _check(token)
        self._token = token
        self._user = user

    def read(self) -> AuthBase:
        """Return what sets the header of one request; a callable token is called.

        It is given to requests even where there is nothing to set: requests would go and look
        into ``.netrc``.
        """
        if self._user is not None:
            name, password = self._user
            return HTTPBasicAuth(name.encode(), password.encode())
        return _Bearer(_check(self._token() if callable(self._token) else self._token))


class _Bearer(AuthBase):
    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        if self._token is not None:
            r.headers["Authorization"] = f"Bearer {self._token}"
        return r


def _check(token: str | None) -> str | None:
    if token is None or (isinstance(token, str) and re.fullmatch("[!-~]+", token)):
        return token
    raise ValueError(
        "token must be a str of printable ASCII characters without spaces, "
        "a function that returns one, or None"
    )
