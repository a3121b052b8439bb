"""A request and a reply as HTTP knows them, whatever server runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One request.

    :param headers: by lower-case name.
    :param body: the raw body; writable and owned by this request alone where the server allows.
    :param form: the fields of a form by name, or ``None`` if the body is no form.
    """

    headers: Mapping[str, str]
    body: bytes | bytearray
    form: Mapping[str, bytes | bytearray] | None = None

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters, or an empty string."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Reply:
    """One reply."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class EncodedBody(bytes):
    """The bytes of a reply's body, with the HTTP headers that tell how to read them."""

    headers: Mapping[str, str]

    @classmethod
    def of(cls, reply: Reply) -> EncodedBody:
        """Return a reply's body with its headers."""
        body = cls(reply.body)
        body.headers = reply.headers
        return body
