"""The address of a model: what is asked, and what may be shown of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from eisen_deploy.client._errors import InvalidURL

#: Characters that a message shows of an address from a server.
_MAX_SHOWN = 300


@dataclass(frozen=True, repr=False)  # it holds a password
class Endpoint:
    """The parts of an endpoint's URL.

    :param url: what is asked: no user, no fragment, no slash at the end of the path.
    :param shown: what messages and ``repr`` name: no query either.
    :param user: name and password of the URL's user part, or ``None``.
    """

    url: str
    shown: str
    user: tuple[str, str] | None

    @property
    def model(self) -> str | None:
        """The name of the model, where the path has the form of one of TorchServe's."""
        match = re.search("/(?:predictions|v2/models)/([^/]+)", urlsplit(self.shown).path)
        return unquote(match[1]) if match else None

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read a URL.

        :raises InvalidURL: if it is not an http or https URL with a host.
        """
        parts = _split(url)
        user = None
        if parts.username is not None:
            user = (unquote(parts.username), unquote(parts.password or ""))
        shown = _without_secrets(parts)
        return cls(shown + (f"?{parts.query}" if parts.query else ""), shown, user)

    def show_redirect(self, location: str | None) -> str:
        """Return where a ``Location`` header points to, fit to be shown."""
        try:
            shown = _without_secrets(_split(urljoin(self.url, location or "")))
        except ValueError:
            return "an address that is not a URL"
        return shown if len(shown) <= _MAX_SHOWN else f"{shown[: _MAX_SHOWN - 3]}..."


def _split(url: str) -> SplitResult:
    if not isinstance(url, str):
        raise InvalidURL(f"url must be a str, got {type(url).__name__}")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise InvalidURL("url holds white space or control characters")
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is not a port number
    except ValueError as error:
        raise InvalidURL("url has brackets or a port that no URL can have") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidURL(
            "url must start with http:// or https:// and a host, such as "
            "http://localhost:8080/predictions/model"
        )
    return parts


def _without_secrets(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
