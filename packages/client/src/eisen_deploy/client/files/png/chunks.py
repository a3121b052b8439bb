"""The chunks that a PNG file is made of (PNG specification, clause 5), each with its checksum."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
#: Samples of a pixel, and bits that each may have.
_SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8)}
#: Of interlaced pixels (Adam7): the first column and row of each pass, and the steps to the next.
_PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4),
    (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip
#: Bytes that are decompressed at a time.
_PIECE = 2**14


class Header(NamedTuple):
    """``IHDR``: what the pixels are."""

    columns: int
    rows: int
    depth: int
    colour: int
    compression: int = 0
    filtering: int = 0
    interlacing: int = 0


class Picture(NamedTuple):
    """A PNG file: its header, its compressed pixels, and the other chunks by their type."""

    header: Header
    pixels: bytes
    others: Mapping[bytes, bytes]

    def to_bytes(self) -> bytes:
        """Return a PNG file of the header and the pixels alone."""
        chunks = ((b"IHDR", _HEADER.pack(*self.header)), (b"IDAT", self.pixels), (b"IEND", b""))
        return _SIGNATURE + b"".join(_make_chunk(kind, data) for kind, data in chunks)


def parse(raw: bytes) -> Picture:
    """Read the chunks of a file.

    :raises ValueError: if it does not begin as a PNG file.
    :raises UnreadableFile: if it is damaged or cut off.
    :raises UnsupportedFile: if it has what the specification does not know.
    """
    if not raw.startswith(_SIGNATURE):
        raise ValueError("not a PNG file")
    pixels: list[bytes] = []
    others: dict[bytes, bytes] = {}
    for kind, data in _split(raw):
        if kind == b"IDAT":
            pixels.append(data)
        elif not others and kind == b"CgBI":
            raise UnsupportedFile("is in Apple's own variant of PNG (CgBI): convert it to PNG")
        elif kind[:1].isupper() and kind not in _CRITICAL:
            raise UnsupportedFile(f"has a chunk {kind.decode()}, which no specification knows")
        else:
            others.setdefault(kind, data)
    picture = Picture(_read_header(others.get(b"IHDR", b"")), b"".join(pixels), others)
    if not _is_complete(picture):  # Pillow would take zeros for what is not there
        raise UnreadableFile("is cut off: it has too few pixels for its size")
    return picture


def _split(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk, up to the last."""
    position, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        start = position + 8
        end = start + int.from_bytes(raw[position : position + 4], "big")
        if start > len(raw) or end + 4 > len(raw):
            raise UnreadableFile("is cut off, or damaged: copy it again")
        kind, data = raw[start - 4 : start], raw[start:end]
        if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(raw[end : end + 4], "big"):
            raise UnreadableFile("is damaged (a checksum in it is wrong): copy it again")
        yield kind, data
        position = end + 4


def _read_header(raw: bytes) -> Header:
    header = Header(*_HEADER.unpack(raw)) if len(raw) == _HEADER.size else Header(0, 0, 0, -1)
    known = header.depth in _DEPTHS.get(header.colour, (8, 16)) and header.colour in _SAMPLES
    sound = (header.compression, header.filtering) == (0, 0) and header.interlacing in (0, 1)
    if not (header.columns and header.rows and known and sound):
        raise UnreadableFile("is damaged: no PNG file can have its header")
    return header


def _is_complete(picture: Picture) -> bool:
    """Whether there are all pixels that the header announces."""
    lacking = _count_bytes(picture.header)
    inflater = zlib.decompressobj()
    compressed = memoryview(picture.pixels)
    for start in range(0, len(compressed), _PIECE):
        lacking -= len(inflater.decompress(compressed[start : start + _PIECE]))
        if lacking <= 0:
            return True
    return False


def _count_bytes(header: Header) -> int:
    """Return the bytes of all pixels: in each pass, whole bytes for each row and one before it."""
    bits = header.depth * _SAMPLES[header.colour]
    size = 0
    for left, top, right, down in _PASSES if header.interlacing else ((0, 0, 1, 1),):
        columns = len(range(left, header.columns, right))
        rows = len(range(top, header.rows, down)) if columns else 0
        size += rows * (1 + (columns * bits + 7) // 8)
    return size


def _make_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
