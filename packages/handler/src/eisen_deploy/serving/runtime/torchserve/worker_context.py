"""What TorchServe hands to a handler beside each batch, as far as it is used here.

Source: TorchServe 0.12, ``ts/context.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import socket
from typing import Protocol

#: One request: a body, or the fields of a form or of a call by gRPC, by name.
Row = Mapping[str, bytes | bytearray]


class WorkerContext(Protocol):
    """TorchServe's ``Context``; of a batch, each request has an index."""

    model_name: str
    manifest: Mapping[str, Mapping[str, str]]
    system_properties: Mapping[str, str]
    cl_socket: socket
    stopping_criteria: object

    def get_all_request_header(self, idx: int) -> Mapping[str, object]:
        """Return the headers, and a dict for each field of the body."""

    def get_response_status(self, idx: int) -> tuple[int | None, str | None]:
        """Return status and reason phrase."""

    def get_response_headers(self, idx: int) -> Mapping[str, str]:
        """Return the headers."""

    def get_response_content_type(self, idx: int) -> str | None:
        """Return the media type."""

    def set_response_status(self, code: int, phrase: str, idx: int) -> None:
        """Set status and reason phrase."""

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set one header."""
