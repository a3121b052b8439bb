"""A request and a reply as HTTP knows them, whatever server runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Buffer = bytes | bytearray | memoryview

#: Values by name, on their way through the stages: arrays, and whatever transforms make of them.
Batch = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One request.

    :param headers: by lower-case name.
    :param body: the raw body; writable and owned by this request alone where the server allows.
    :param form: the fields of a form by name, or ``None`` if the body is not a form.
    :param unsupported: why it is refused whatever it holds; ``None`` for a prediction or a call for
        the metadata.
    """

    headers: Mapping[str, str]
    body: bytes | bytearray
    form: Mapping[str, bytes | bytearray] | None = None
    unsupported: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the body, or of all fields of the form."""
        return len(self.body) if self.form is None else sum(map(len, self.form.values()))

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters, or an empty string."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Reply:
    """One reply.

    :param buffers: of the body, one byte an item, to be sent one after the other; they may be
        memory of the outputs, which must not change any more: see :meth:`copy_buffers`.
    """

    buffers: tuple[Buffer, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        return sum(map(len, self.buffers))

    def copy_buffers(self) -> Reply:
        """Return the same reply with a body that nobody else can change."""
        buffers = tuple(each if isinstance(each, bytes) else bytes(each) for each in self.buffers)
        return replace(self, buffers=buffers)

    @property
    def body(self) -> bytes:
        """The whole body as one object: a copy, unless it is one already."""
        only = self.buffers[0] if len(self.buffers) == 1 else None
        return only if isinstance(only, bytes) else b"".join(self.buffers)


class EncodedBody(bytes):
    """The bytes of a reply's body, with the HTTP headers that say how to read them."""

    headers: Mapping[str, str]

    @classmethod
    def from_reply(cls, reply: Reply) -> EncodedBody:
        """Return a reply's body with its headers."""
        body = cls(reply.body)
        body.headers = reply.headers
        return body
