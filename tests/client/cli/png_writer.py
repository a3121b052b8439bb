"""PNG files of any kind, written from the specification alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Colour type and depth of all that there are (clause 11.2.1), palettes left out.
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16)] + [
    (colour, depth) for colour in (2, 4, 6) for depth in (8, 16)
]
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: First column, first row and steps of Adam7's passes (clause 8.2).
PASSES = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values, colour, depth, interlaced=False, before=(), after=(), idat=2000):
    """Return a file of values (rows, columns, samples), with further chunks around its pixels."""
    rows, columns = values.shape[:2]
    head = struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, interlaced)
    raw = b"".join(scanlines(part, depth) for part in parts(values, interlaced))
    pixels = zlib.compress(raw)
    pieces = [pixels[start : start + idat] for start in range(0, len(pixels), idat)]
    chunks = [(b"IHDR", head), *before, *((b"IDAT", piece) for piece in pieces), *after]
    return SIGNATURE + b"".join(chunk(*each) for each in [*chunks, (b"IEND", b"")])


def parts(values, interlaced):
    if not interlaced:
        return [values]
    found = [values[row::down, column::right] for column, row, right, down in PASSES]
    return [part for part in found if part.size]


def scanlines(values, depth):
    """Return rows as bytes, each with another filter."""
    packed = pack(values.reshape(len(values), -1), depth)
    step = max(1, values.shape[2] * depth // 8)
    above, filtered = np.zeros_like(packed[0]), []
    for index, line in enumerate(packed):
        kind = index % 5
        filtered.append(bytes([kind]) + differences(kind, line, above, step).tobytes())
        above = line
    return b"".join(filtered)


def pack(rows, depth):
    if depth == 16:
        return rows.astype(">u2").view(np.uint8)
    bits = np.unpackbits(rows.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - depth :]
    return np.packbits(bits.reshape(len(rows), -1), axis=1)


def differences(kind, line, above, step):
    """Apply a filter to a row of bytes (clause 9.2)."""
    a, b, c = (
        np.concatenate([np.zeros(step, int), line[:-step]])[: len(line)],
        above.astype(int),
        np.concatenate([np.zeros(step, int), above[:-step]])[: len(line)],
    )
    near = np.abs(np.stack([b - c, a - c, a + b - 2 * c]))
    paeth = np.choose(near.argmin(axis=0), [a, b, c])
    predicted = [0, a, b, (a + b) // 2, paeth][kind]
    return ((line.astype(int) - predicted) % 256).astype(np.uint8)
