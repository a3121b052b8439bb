"""What a file is by its first bytes: DICOM with or without its preamble, compressed, or neither.

A DICOM file begins with 128 bytes that mean nothing and ``DICM`` (PS3.10, 7.1). Some programs leave
that out, and the file begins with its first element: of group 0002, or of 0008 where it has no file
meta information either (PS3.5, 7.1).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from contextlib import suppress
from pathlib import Path

_LONGEST = 132
#: The first elements of a data set that begins with group 0008: its length, the character set, the
#: type of the image, the class, and so on up to the instance; or of the file meta information.
_LAST_ELEMENT = {0x0008: 0x0018, 0x0002: 0x0010}
_VRS = (b"UL", b"CS", b"UI", b"OB", b"DA", b"TM", b"UN")
_LONGEST_VALUE = 1024


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, be it without its preamble or compressed by gzip."""
    start = read_start(path)
    return begins_dicom(start) or begins_dicom(unpack_start(path, start))


def read_start(path: Path) -> bytes:
    """Return the first bytes of a file, enough to recognise it."""
    with path.open("rb") as file:
        return file.read(_LONGEST)


def unpack_start(path: Path, start: bytes) -> bytes:
    """Return the first bytes of what a file holds if it is compressed by gzip; else nothing."""
    if start.startswith(b"\x1f\x8b"):
        with suppress(EOFError, OSError, zlib.error), gzip.open(path) as file:
            return file.read(_LONGEST)
    return b""


def begins_dicom(start: bytes) -> bool:
    """Whether a file that begins with these bytes is DICOM."""
    return has_preamble(start) or any(_begins_element(start, order) for order in "<>")


def has_preamble(start: bytes) -> bool:
    """Whether a file that begins with these bytes says that it is DICOM."""
    return start[128:132] == b"DICM"


def _begins_element(start: bytes, order: str) -> bool:
    if len(start) < 8:
        return False
    group, element, vr, _ = struct.unpack_from(f"{order}HH2sH", start)
    if element > _LAST_ELEMENT.get(group, -1) or (group == 2 and order == ">"):
        return False
    length = struct.unpack_from("<I", start, 4)[0]
    implicit = order == "<" and group == 8 and length % 2 == 0 and length <= _LONGEST_VALUE
    return vr in _VRS or implicit
