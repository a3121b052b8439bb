"""Reading PNG files, with the values that are in them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from eisen_deploy.client.files.content import Array, Content
from eisen_deploy.client.files.errors import UnsupportedFile
from eisen_deploy.client.files.libraries import reading, require

from .chunks import GREY, GREY_ALPHA, PALETTE, RGBA, Picture, parse

#: By which Pillow multiplies grey values of few bits, for them to end at 255.
_SCALES = {2: 85, 4: 17}
#: An entry of EXIF that says to turn the picture (tag 274, a SHORT), in either order of bytes.
_TURNED = re.compile(
    rb"\x12\x01\x03\0\x01\0\0\0([\x02-\x08])\0|\x01\x12\0\x03\0\0\0\x01\0([\x02-\x08])"
)


def read(path: Path) -> Content:
    """Read a picture with the values that are in the file: bool, uint8 or uint16.

    Samples of 2 and 4 bits are not scaled, gamma and profiles of colours not applied.

    :raises UnsupportedFile: if it has a palette, or holds several pictures.
    """
    require("PIL.PngImagePlugin", "png")
    with reading("a PNG file", path):
        picture = parse(path.read_bytes())
        _check_meaning(picture)
        array = _read_samples(picture)
    array = np.moveaxis(array, 2, 0) if array.ndim == 3 else array
    return Content(array, 2, remarks=_list_remarks(picture))


def _check_meaning(picture: Picture) -> None:
    if picture.header.colour == PALETTE:
        raise UnsupportedFile(
            "has a palette, so its pixels are numbers of colours and not values: convert it to "
            "grey values or RGB, or save the numbers as grey values if they are what is meant"
        )
    count = int.from_bytes(picture.others.get(b"acTL", b"")[:4], "big")
    if count > 1:
        raise UnsupportedFile(f"is animated, with {count} pictures: save the one that is meant")


def _list_remarks(picture: Picture) -> tuple[str, ...]:
    remarks = []
    if turned := _TURNED.search(picture.others.get(b"eXIf", b"")):
        orientation = ord(turned[1] or turned[2])
        remarks.append(
            f"EXIF asks viewers to turn the picture (orientation {orientation}): the model gets "
            "the pixels as they are stored, and its outputs are not turned either"
        )
    if b"tRNS" in picture.others:
        remarks.append(
            "viewers show one of its colours as transparent: the model gets it as it is stored"
        )
    return tuple(remarks)


def _read_samples(picture: Picture) -> Array:
    """Return the samples as they are: (rows, columns[, samples])."""
    header = picture.header
    if header.depth == 16 and header.colour != GREY:
        return _read_wide_colours(picture)
    samples = _decode(picture)
    if header.depth == 1:
        samples = samples.view(np.uint8) != 0
    elif header.depth < 8:
        samples = samples // np.uint8(_SCALES[header.depth])
    elif header.depth == 16:
        samples = samples.astype(np.uint16)
    return samples


def _read_wide_colours(picture: Picture) -> Array:
    """Return colours of 16 bits. Pillow keeps 8 of them, so it is asked for each half."""
    header = picture.header
    if header.colour == GREY_ALPHA:  # filters see bytes: it has those of RGBA of 8 bits
        halves = _decode(picture._replace(header=header._replace(colour=RGBA, depth=8)))
        high, low = halves[..., ::2], halves[..., 1::2]
    else:
        mode = "RGBA" if header.colour == RGBA else "RGB"
        high, low = _decode(picture, f"{mode};16B"), _decode(picture, f"{mode};16L")
    return high.astype(np.uint16) << 8 | low


def _decode(picture: Picture, raw_mode: str | None = None) -> Array:
    """Decompress a picture by Pillow.

    :param raw_mode: how Pillow shall take the bytes of a pixel, if not as usual.
    """
    plugin = require("PIL.PngImagePlugin", "png")
    with plugin.PngImageFile(io.BytesIO(picture.to_bytes())) as image:
        if raw_mode is not None:
            (tile,) = image.tile
            image.tile = [(*tile[:3], raw_mode)]
        image.load()  # numpy 1.22 would make an array of one object where this fails
        decoded: Array = np.array(image)
    return decoded
