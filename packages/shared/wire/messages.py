"""The messages of the Open Inference Protocol, before they are encoded and after."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

#: Bytes of the JSON part; absent where the whole body is JSON.
LENGTH_HEADER = "Inference-Header-Content-Length"
#: Bytes of a reply's body before it is compressed, or sent in chunks: room for it can be made where
#: ``Content-Length`` does not say how much. Ours, not the protocol's.
SIZE_HEADER = "Eisen-Body-Size"
BINARY_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"


class Body(NamedTuple):
    """One encoded message.

    :param buffers: what to send, in order; tensors are shared with the encoded arrays.
    :param json_size: bytes of the JSON part, or ``None`` without a binary part.
    """

    buffers: tuple[bytes | memoryview, ...]
    json_size: int | None

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        return sum(len(buffer) for buffer in self.buffers)

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers that describe the body."""
        if self.json_size is None:
            return {"Content-Type": JSON_TYPE}
        return {"Content-Type": BINARY_TYPE, LENGTH_HEADER: str(self.json_size)}


class Request(NamedTuple):
    """A decoded request.

    :param inputs: values by name, in the order of the body.
    :param outputs: the outputs asked for; ``None`` asks for all of them.
    :param binary: the outputs wanted in binary; ``None`` means every one of them.
    """

    inputs: dict[str, object]
    id: str | None = None
    outputs: tuple[str, ...] | None = None
    binary: frozenset[str] | None = frozenset()


class Reply(NamedTuple):
    """A decoded reply: values by name, and what the server says of itself."""

    outputs: dict[str, object]
    model_name: str = ""
    model_version: str = ""
    id: str | None = None
    parameters: Mapping[str, object] = MappingProxyType({})
