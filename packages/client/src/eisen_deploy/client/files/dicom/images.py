"""DICOM images: a folder with one series, or one file; by pydicom.

A series becomes a volume with the axes (i, j, k): i is the column and j the row of an image, and k
counts the images along the normal of their plane, whatever their files and numbers are called. The
affine takes that to the patient as NIfTI has it, so a NIfTI file of the same series has the same
voxels at the same places.

An image without a position in the patient (X-ray, ultrasound, photograph) is a picture: its axes
are rows and columns, as those of a PNG file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from eisen_deploy.client.files.content import Content, Grid
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile
from eisen_deploy.client.files.extras import reading, require

from . import folder, pixels
from .completeness import remark_missing
from .geometry import ASSUMED, find_thickness, place
from .headers import Slice
from .image_kinds import is_mosaic
from .names import blamed_on, name_some
from .series import check_one_type, read_series

_CONVERT = "convert it to NIfTI, with dcm2niix for example"


def read(path: Path, monochrome1: str | None = None) -> Content:
    """Read a folder with one series, or one file; values are those after the rescale slope.

    Each file of a folder is an image of the volume, is named in a remark, or is the reason, with
    its name, why the folder is refused.

    :param monochrome1: ``keep`` or ``invert`` the values of images in which small ones are bright.
    :raises UnsupportedFile: if the images are not one series of parallel, evenly spaced slices.
    """
    require("pydicom", "dicom")
    with reading("DICOM"):  # all of it: pydicom parses a value when it is looked at
        if not path.is_dir():
            return _read_slices([_single(path)], monochrome1)
        series = read_series(path)
        content = _read_slices(series.slices, monochrome1)
        ordered = content.grid.slices if content.grid else [series.slices[0].header]
        missing = remark_missing(ordered, [each.header for each in series.beside])
        return replace(content, remarks=(*series.remarks, *content.remarks, *missing))


def _read_slices(slices: Sequence[Slice], monochrome1: str | None) -> Content:
    _check_frames(slices)
    check_one_type(slices)
    invert = pixels.check(slices, monochrome1)
    if len(slices) == 1 and not slices[0].header.get("ImagePositionPatient"):
        array = pixels.read(slices, invert)[0]
        return Content(np.moveaxis(array, 2, 0) if array.ndim == 3 else array, 2)
    return _volume(slices, invert)


def _volume(slices: Sequence[Slice], invert: bool) -> Content:
    if any(int(each.header.get("SamplesPerPixel", 1)) != 1 for each in slices):
        raise UnsupportedFile("is a series of images in colour")
    ordered, affine = place(slices)
    array = pixels.read(ordered, invert).transpose(2, 1, 0)
    shape = (array.shape[0], array.shape[1], array.shape[2])
    grid = Grid(shape, affine, slices=[each.header for each in ordered])
    if len(ordered) > 1 or find_thickness(ordered[0]):
        return Content(array, 3, grid)
    said = f"it does not say how thick it is (SliceThickness): {ASSUMED:g} mm is assumed"
    return Content(array, 3, grid, (said,))


def _single(path: Path) -> Slice:
    found = folder.examine(path)
    if isinstance(found, Slice):
        return found
    if isinstance(found, folder.Refusal):
        raise UnreadableFile(f"is {found.state}: {found.advice}")
    if not found.is_dicom:
        also = "" if found.reason == folder.NO_DICOM else f", and {folder.NO_DICOM}"
        raise UnreadableFile(f"is {found.reason}{also}")
    raise UnsupportedFile(f"is DICOM, and no image: {found.reason}")


def _check_frames(slices: Sequence[Slice]) -> None:
    """Check that each file holds one slice."""
    several = [each.name for each in slices if _has_frames(each)]
    if several:  # some of Siemens are called a mosaic, and are none any more
        raise UnsupportedFile(
            f"{_subject(several)} a multi-frame object: {_CONVERT}, or to one file for each image"
        )
    mosaics = [each.name for each in slices if is_mosaic(each.header)]
    if mosaics:
        raise UnsupportedFile(
            f"{_subject(mosaics)} a Siemens mosaic or a UIH grid, all slices as tiles of one "
            f"image: {_CONVERT}"
        )


def _subject(found: Sequence[str]) -> str:
    return f"{name_some(found)}: is" if any(found) else "is"


def _has_frames(each: Slice) -> bool:
    with blamed_on(each.name), reading("DICOM"):
        frames = int(each.header.get("NumberOfFrames") or 1)
    return frames > 1 or "SharedFunctionalGroupsSequence" in each.header
