"""Bodies of ``multipart/form-data`` as fields by name, parsed as they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from eisen_deploy.serving.runtime._shared.wire.protocol import MAX_TENSORS
from eisen_deploy.serving.runtime.errors import MalformedBody

from .bodies import Incoming

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


def find_boundary(headers: Mapping[str, str]) -> bytes | None:
    """Return the boundary of a form; ``None`` if the body is not a form, or names none."""
    kind, options = parse_options_header(headers.get("content-type"))
    return options.get(b"boundary") or None if kind == b"multipart/form-data" else None


async def read_form(incoming: Incoming, boundary: bytes) -> dict[str, bytearray]:
    """Return the fields of a form by name.

    :raises MalformedBody: if it is not a form, is cut off, or a field has no name or two values.
    """
    fields = _Fields()
    try:
        parser = MultipartParser(boundary, fields.callbacks)
        async for piece in incoming.pieces():
            parser.write(bytes(piece))  # a copy only where it is not bytes already
        parser.finalize()
    except FormParserError as error:
        raise MalformedBody(f"the body is not multipart/form-data: {error}") from None
    if not fields.ended:
        raise MalformedBody("the form is cut off: its closing boundary is missing")
    return fields.by_name


class _Fields:
    """What the parser finds, in the order in which it calls."""

    def __init__(self) -> None:
        self.by_name: dict[str, bytearray] = {}
        self.ended = False
        self._header, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._content = bytearray()

    @property
    def callbacks(self) -> MultipartCallbacks:
        """The parser's callbacks."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": self._add,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._place,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.by_name) >= MAX_TENSORS:
            raise MalformedBody(f"the form has more than {MAX_TENSORS} parts")
        self._name = None

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            name = parse_options_header(bytes(self._value))[1].get(b"name")
            self._name = None if name is None else name.decode("utf-8", "replace")
        self._header, self._value = bytearray(), bytearray()

    def _place(self) -> None:
        if not self._name:
            raise MalformedBody("a part of the form has no name")
        if self._name in self.by_name:
            raise MalformedBody(f"the form has two parts named {self._name[:40]!r}")
        self._content = self.by_name[self._name] = bytearray()

    def _add(self, data: bytes, start: int, end: int) -> None:
        self._content += memoryview(data)[start:end]

    def _end(self) -> None:
        self.ended = True
