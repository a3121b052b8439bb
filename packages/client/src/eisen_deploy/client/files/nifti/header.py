"""The header of a NIfTI file as it stands on disk, and the rules of the standard (nifti1.h).

nibabel and ITK repair or ignore much that breaks these rules, each in another way: an axis of size
0, a voxel size below 0, unknown codes. What one program repairs lies elsewhere in another, so a
header is taken as it stands, or the file is refused with the name of the field.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from eisen_deploy.client.files.content import Array
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile
from eisen_deploy.client.files.libraries import require
from eisen_deploy.client.files.signatures import identify_bytes

from . import placement

if TYPE_CHECKING:
    from nibabel import Nifti1Header

_SIZES = (348, 540)  # of NIfTI-1 and NIfTI-2
_SINGLE, _PAIR = (b"n+1", b"n+2"), (b"ni1", b"ni2")
_EXTENDER = 4
_DAMAGED = "is damaged, or is not a NIfTI file"

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"}
_TYPES.update({256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"})
_OTHER_TYPES = {1: "single bits", 1536: "floats of 128 bits", 128: "colours", 2304: "colours"}
_OTHER_TYPES.update(dict.fromkeys((32, 1792, 2048), "complex numbers"))
_MESHES = (1008, 1009)
_CIFTI = range(3000, 3100)
_XFORM_CODES = range(6)


class Voxels(NamedTuple):
    """Where the voxels of a file are, and what they mean.

    :param scaling: slope and intercept, by default 1 and 0.
    :param spare: bytes after the voxels.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    offset: int
    scaling: tuple[float, float]
    spare: int


def parse(raw: Array) -> Nifti1Header:
    """Return the header at the start of a file's bytes, as nibabel's, with nothing repaired.

    :param raw: all bytes of the file, decompressed.
    :raises UnreadableFile: if they are not those of a NIfTI file, or too few.
    :raises UnsupportedFile: if the header breaks a rule, or is of a sort that is not read.
    """
    nibabel = require("nibabel", "nifti")
    start = bytes(raw[:540])
    order = next((each for each in "<>" if _read_integer(raw, 0, each) in _SIZES), "")
    if not order:
        raise UnreadableFile(f"{_DAMAGED}: {_describe(start)}")
    size = _read_integer(raw, 0, order)
    if len(raw) < size + _EXTENDER:
        raise UnreadableFile(f"{_DAMAGED}: it ends within its header")
    form = nibabel.Nifti1Header if size == 348 else nibabel.Nifti2Header
    header: Nifti1Header = form(start[:size], order, check=False)
    _check_magic(header)
    problems = list(_find_problems(header))
    if problems:
        raise UnsupportedFile(
            f"has a header that breaks the rules of NIfTI: {'; '.join(problems)}: correct it, with "
            "nifti_tool for example"
        )
    return header


def find_voxels(header: Nifti1Header, raw: Array) -> Voxels:
    """Return where the voxels are, by a header of :func:`parse`.

    :raises UnreadableFile: if they are not all there.
    :raises UnsupportedFile: if they overlap with the header, or are not one real number each.
    """
    intent, datatype = int(header["intent_code"]), int(header["datatype"])
    if intent in _CIFTI or intent in _MESHES:
        raise UnsupportedFile(
            f"is {'CIFTI' if intent in _CIFTI else 'a mesh'} (intent_code {intent}), "
            "and not a NIfTI volume"
        )
    if datatype not in _TYPES:
        held = _OTHER_TYPES.get(datatype, "values of a type that NIfTI does not have")
        raise UnsupportedFile(
            f"holds {held} (datatype {datatype}), and not one real number for each voxel"
        )
    dtype = np.dtype(header.endianness + _TYPES[datatype])
    shape = tuple(int(size) for size in header["dim"][1 : header["dim"][0] + 1])
    offset = _find_offset(header, raw)
    spare = len(raw) - offset - math.prod(shape) * dtype.itemsize
    if spare and header["bitpix"] != 8 * dtype.itemsize:  # some programs write another bitpix
        raise UnsupportedFile(
            f"has voxels of {8 * dtype.itemsize} bits by datatype, {header['bitpix']} by bitpix, "
            "and its length does not show which is right"
        )
    if spare < 0:
        raise UnreadableFile(
            f"{_DAMAGED}: {-spare} bytes are missing of {' x '.join(map(str, shape))} voxels"
        )
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    is_scaled = slope != 0 and not math.isnan(slope)
    return Voxels(shape, dtype, offset, (slope, inter) if is_scaled else (1.0, 0.0), spare)


def _read_integer(raw: Array, at: int, order: str) -> int:
    return int(np.frombuffer(bytes(raw[at : at + 4]).ljust(4, b"\0"), f"{order}i4")[0])


def _describe(start: bytes) -> str:
    if not start:
        return "it is empty"
    found = identify_bytes(start)
    return f"it holds {found}" if found else "it does not start with 348 or 540"


def _check_magic(header: Nifti1Header) -> None:
    magic = header["magic"].item()
    if magic in _PAIR:
        raise UnsupportedFile("has its voxels in another file (.img): join them to one .nii file")
    if magic not in _SINGLE:
        raise UnsupportedFile(
            "is Analyze 7.5, or lacks the magic of NIfTI: it does not say how it lies in the "
            "patient; convert it to NIfTI"
        )


def _find_problems(header: Nifti1Header) -> Iterator[str]:
    """Say what is wrong with the fields that size, place and scale the voxels."""
    if header.sizeof_hdr == 540 and header["eol_check"].tolist() not in ([13, 10, 26, 10], [0] * 4):
        yield "eol_check shows that its bytes were changed as if they were text"
    count = int(header["dim"][0])
    if not 1 <= count <= 7 or (header["dim"][1 : count + 1] < 1).any():
        yield f"dim is {header['dim'][: max(0, min(count, 7)) + 1].tolist()}"
        return
    for name in ("qform_code", "sform_code"):
        if int(header[name]) not in _XFORM_CODES:
            yield f"{name} is {int(header[name])}, and 0 to 5 have a meaning"
    sizes = zip(header["dim"][1 : min(count, 3) + 1], header["pixdim"][1:4])
    if any(voxels > 1 and not 0 < length < math.inf for voxels, length in sizes):
        yield "pixdim has a spacing that is not above 0"
    yield from placement.find_problems(header)
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isinf(slope) or (slope and not math.isnan(slope) and not math.isfinite(inter)):
        yield "scl_slope and scl_inter are not finite"


def _find_offset(header: Nifti1Header, raw: Array) -> int:
    """Return where the voxels begin: behind the header and all of its extensions."""
    start = int(header.sizeof_hdr) + _EXTENDER
    offset = float(header["vox_offset"])
    if not offset.is_integer() or offset < start:
        raise UnsupportedFile(
            f"has voxels that begin at byte {offset:g} (vox_offset), and its header ends at {start}"
        )
    end, order = start, header.endianness
    while raw[start - _EXTENDER] and end + 8 <= min(offset, len(raw)):
        size = _read_integer(raw, end, order)
        if size < 8:
            break  # what follows the last extension
        end += size
    if end > offset:
        raise UnsupportedFile("has voxels that begin within a header extension (vox_offset)")
    return int(offset)
