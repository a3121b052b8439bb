"""``.json`` and ``.txt``: values that are not images."""

from __future__ import annotations

import codecs
import json
import math
from pathlib import Path
from typing import BinaryIO

import numpy as np

from eisen_deploy.client._shared.errors import ContractError
from eisen_deploy.client._shared.wire import strict_json

from .content import Content
from .errors import UnreadableFile, UnwritableFile
from .libraries import reading, writing
from .signatures import identify

_MARK = codecs.BOM_UTF8

#: Rows without values, for each of which JSON has a list; a hostile reply can have any number.
_MAX_ROWS = 100_000


def read_json(path: Path) -> Content:
    """Read one JSON value."""
    with reading("JSON", path):
        raw = path.read_bytes()
        try:
            return Content(strict_json.loads(raw.removeprefix(_MARK), "the text"))
        except ContractError as error:
            if not raw or identify(path) not in (None, "text"):
                raise
            raise UnreadableFile(str(error)) from None


def read_txt(path: Path) -> Content:
    """Read a text, as it is but for the byte order mark that some editors put before it."""
    with reading("text in UTF-8", path):
        raw = path.read_bytes()
        try:
            text = raw.removeprefix(_MARK).decode("utf-8")
        except UnicodeDecodeError as error:
            if identify(path) not in (None, "text"):
                raise
            raise UnreadableFile(
                f"is not in UTF-8 (byte {error.start}): save it with this encoding"
            ) from None
    remarks = ("the byte order mark before the text is left out",) if raw.startswith(_MARK) else ()
    return Content(text, remarks=remarks)


def to_json(value: object, *, for_terminal: bool = False) -> str:
    """Return any value that a model replies as JSON; arrays become nested lists.

    NaN and infinity, which JSON lacks, become ``null``.

    :param for_terminal: indented, and in ASCII, which no terminal obeys.
    :raises UnwritableFile: if an array has hardly any values for its many rows.
    """
    indent = 2 if for_terminal else None
    return json.dumps(_to_plain(value), indent=indent, ensure_ascii=for_terminal, allow_nan=False)


def list_json_remarks(value: object) -> tuple[str, ...]:
    """Return what the user should know about a value as JSON."""
    if _is_finite(value):
        return ()
    return ("NaN or infinity is among its numbers, for which JSON has only null",)


def write_json(file: BinaryIO, value: object) -> None:
    """Write a value as JSON."""
    with writing("JSON"):
        text = f"{to_json(value)}\n".encode()
    file.write(text)


def write_txt(file: BinaryIO, value: object) -> None:
    """Write a text, as it is."""
    if not isinstance(value, str):
        raise UnwritableFile(f"{type(value).__name__} is not text: use .json")
    with writing("text in UTF-8"):
        raw = value.encode()
    file.write(raw)


def _is_finite(value: object) -> bool:
    if isinstance(value, (list, tuple, dict)):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in "fc":
        return True
    return not isinstance(value, (np.ndarray, np.generic, float)) or bool(np.isfinite(value).all())


def _to_plain(value: object) -> object:
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind == "c":
            return _to_plain(np.stack([value.real, value.imag], axis=-1))
        rows = sum(math.prod(value.shape[:axis]) for axis in range(value.ndim))
        if rows > _MAX_ROWS + 4 * value.size:
            raise UnwritableFile(
                f"an array of shape {list(value.shape)} has {rows} rows for {value.size} values: "
                "use .npy"
            )
        return _to_plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return None if isinstance(value, float) and not np.isfinite(value) else value
