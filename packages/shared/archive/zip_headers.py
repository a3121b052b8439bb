"""All bytes of a zip file but the contents, made from names, sizes and checksums alone.

The layouts are those of PKWARE's APPNOTE 6.3.10, sections 4.3.7 to 4.3.16.
"""

from __future__ import annotations

import stat
import struct
from typing import NamedTuple

#: From here on a size or an offset stands in a zip64 field, and this in its usual place.
LARGE = 0xFFFFFFFF

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64 = struct.Struct("<4sIQI")

#: Bytes of a central header without its name: at least, and with three values in a zip64 field.
CENTRAL_SIZE, CENTRAL_SIZE_64 = _CENTRAL.size, _CENTRAL.size + 28
#: Bytes of the end record alone, and with what zip64 puts in front of it.
END_SIZE, END_SIZE_64 = _END.size, _END_64.size + _LOCATOR_64.size + _END.size

_VERSION, _VERSION_64 = 20, 45
_UNIX = 3 << 8
_UTF_8 = 0x800
_DATE = 1 << 5 | 1  # 1980-01-01, the first that there is
_MODE = (stat.S_IFREG | 0o644) << 16

_FIELDS = (
    "flags",
    "compression method",
    "time",
    "date",
    "CRC-32",
    "compressed size",
    "size",
    "length of the name",
    "length of the extra field",
)
_LOCAL_FIELDS = ("signature", "version needed", *_FIELDS)
_CENTRAL_FIELDS = (
    "signature",
    "version made by",
    "version needed",
    *_FIELDS,
    "length of the comment",
    "disk",
    "internal attributes",
    "external attributes",
    "offset",
)


class Claim(NamedTuple):
    """What a central header says of its file, and where the next one begins."""

    name: bytes
    size: int
    crc32: int
    end: int


def make_local(name: str, size: int, crc32: int) -> bytes:
    """Return what stands in front of a file's content."""
    extra = _make_zip64_field(size, size) if size >= LARGE else b""
    return _LOCAL.pack(b"PK\3\4", *_make_fields(name, size, crc32, extra)) + name.encode() + extra


def make_central(name: str, size: int, crc32: int, position: int) -> bytes:
    """Return a file's part of the directory.

    :param position: where its local header begins.
    """
    extra = _make_zip64_field(*(value for value in (size, size, position) if value >= LARGE))
    version, *fields = _make_fields(name, size, crc32, extra)
    rest = (0, 0, 0, _MODE, min(position, LARGE))
    header = _CENTRAL.pack(b"PK\1\2", _UNIX | version, version, *fields, *rest)
    return header + name.encode() + extra


def _make_fields(name: str, size: int, crc32: int, extra: bytes) -> tuple[int, ...]:
    """Return what both headers of a file have in common: version needed, then ``_FIELDS``."""
    version = _VERSION_64 if extra else _VERSION
    flags = 0 if name.isascii() else _UTF_8
    small = min(size, LARGE)
    return version, flags, 0, 0, _DATE, crc32, small, small, len(name.encode()), len(extra)


def make_end(count: int, size: int, position: int) -> bytes:
    """Return what stands behind the directory.

    :param count: of files.
    :param size: of the directory, in bytes.
    :param position: where the directory begins.
    """
    record = _END.pack(b"PK\5\6", 0, 0, count, count, size, min(position, LARGE), 0)
    if position < LARGE:
        return record
    version = _VERSION_64
    fields = (b"PK\6\6", _END_64.size - 12, version, version, 0, 0, count, count, size, position)
    locator = _LOCATOR_64.pack(b"PK\6\7", 0, position + size, 1)
    return _END_64.pack(*fields) + locator + record


def end_size(position: int) -> int:
    """Return how many bytes are behind a directory that begins there."""
    return END_SIZE if position < LARGE else END_SIZE_64


def read_central(directory: bytes, at: int) -> Claim:
    """Return what the central header claims that begins there; at least its fixed part is there."""
    crc32, _, size, *lengths = _CENTRAL.unpack_from(directory, at)[7:13]
    name_at = at + CENTRAL_SIZE
    extra_at = name_at + lengths[0]
    if size == LARGE:
        size = int.from_bytes(directory[extra_at + 4 : extra_at + 12], "little")
    return Claim(directory[name_at:extra_at], size, crc32, name_at + sum(lengths))


def read_end(tail: bytes) -> tuple[int, int, int] | None:
    """Return number of files, size and position of the directory, as the end of a zip file claims.

    :param tail: the last bytes of the file: ``END_SIZE_64``, or as many as there are.
    :returns: ``None`` if they end in no end record.
    """
    if tail[-END_SIZE:][:4] != b"PK\5\6" or len(tail) < END_SIZE:
        return None
    count, size, position = _END.unpack(tail[-END_SIZE:])[4:7]
    if position == LARGE and len(tail) == END_SIZE_64:
        position = _END_64.unpack_from(tail)[-1]
    return count, size, position


def compare(found: bytes, expected: bytes) -> str:
    """Name the most important difference of a header, local or central, to what it must be."""
    is_central = expected.startswith(b"PK\1\2")
    layout, fields = (_CENTRAL, _CENTRAL_FIELDS) if is_central else (_LOCAL, _LOCAL_FIELDS)
    got = dict(zip(fields, layout.unpack_from(found.ljust(layout.size, b"\0"))))
    wanted = dict(zip(fields, layout.unpack_from(expected)))
    if got["flags"] & 1:
        return "is encrypted"
    if got["compression method"] != 0:
        return "is compressed"
    if stat.S_ISLNK(got.get("external attributes", 0) >> 16):
        return "is a symbolic link"
    for field in fields:
        if got[field] != wanted[field]:
            return f"has {field} {got[field]}, expected {wanted[field]}"
    return "has another name or extra field"


def _make_zip64_field(*values: int) -> bytes:
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""
