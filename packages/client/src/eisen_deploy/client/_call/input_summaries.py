"""What a request holds, for errors and logs: names, shapes, dtypes and sizes, never values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from eisen_deploy.client._shared.wire.datatypes import NUMPY_OF_DATATYPE
from eisen_deploy.client._shared.wire.protocol import Body


class InputSummary(NamedTuple):
    """One input as it is sent.

    :param dtype: a numpy dtype's name, or ``str``, ``bytes``, ``float`` or ``json`` for what is
        not an array of numbers.
    :param shape: ``()`` for what is not an array.
    :param size: bytes on the wire.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}, {show_size(self.size)}"


def summarise_inputs(body: Body) -> dict[str, InputSummary]:
    """Return what a request's body holds, by the name of the input."""
    if not body.buffers:
        return {}
    head = json.loads(bytes(body.buffers[0]))
    return {entry["name"]: _summarise(entry) for entry in head["inputs"]}


def _summarise(entry: Mapping[str, Any]) -> InputSummary:
    parameters, shape = entry["parameters"], tuple(entry["shape"])
    size = parameters["binary_data_size"]
    if "content_type" in parameters:
        return InputSummary(parameters["content_type"], (), size)
    name = parameters.get("numpy_dtype")
    if name is not None and name.startswith("complex"):
        return InputSummary(name, shape[:-1], size)
    if entry["datatype"] not in NUMPY_OF_DATATYPE:
        return InputSummary(name or "bytes", shape, size)
    return InputSummary(NUMPY_OF_DATATYPE[entry["datatype"]].name, shape, size)


def show_size(size: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{size} bytes" if size < 2**20 else f"{size / 2**20:.1f} MiB"
