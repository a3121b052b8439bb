"""``.json`` and ``.txt``: values that are no images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .content import Content
from .errors import UnwritableFile
from .extras import reading

#: Rows without values, for each of which JSON has a list; a hostile reply can have any number.
_MAX_ROWS = 100_000


def read_json(path: Path) -> Content:
    """Read one JSON value."""
    with reading("JSON in UTF-8"):
        return Content(json.loads(path.read_text("utf-8")))


def read_txt(path: Path) -> Content:
    """Read a text, as it is."""
    with reading("text in UTF-8"):
        return Content(path.read_bytes().decode("utf-8"))


def to_json(value: Any, *, for_terminal: bool = False) -> str:
    """Return any value that a model replies as JSON; arrays become nested lists.

    NaN and infinity, which JSON has not, become ``null``.

    :param for_terminal: indented, and in ASCII, of which a terminal obeys nothing.
    :raises UnwritableFile: if an array has hardly any values for its many rows.
    """
    indent = 2 if for_terminal else None
    return json.dumps(_plain(value), indent=indent, ensure_ascii=for_terminal, allow_nan=False)


def write_json(file: BinaryIO, value: Any) -> None:
    """Write a value as JSON."""
    file.write(f"{to_json(value)}\n".encode())


def write_txt(file: BinaryIO, value: Any) -> None:
    """Write a text, as it is."""
    if not isinstance(value, str):
        raise UnwritableFile(f"{type(value).__name__} is no text: use .json")
    file.write(value.encode())


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind == "c":
            return _plain(np.stack([value.real, value.imag], axis=-1))
        rows = sum(math.prod(value.shape[:axis]) for axis in range(value.ndim))
        if rows > _MAX_ROWS + 4 * value.size:
            raise UnwritableFile(
                f"an array of shape {list(value.shape)} has {rows} rows for {value.size} values: "
                "use .npy"
            )
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return None if isinstance(value, float) and not np.isfinite(value) else value
