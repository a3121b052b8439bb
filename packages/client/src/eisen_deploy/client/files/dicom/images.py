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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eisen_deploy.client.files.content import Content, Grid
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile
from eisen_deploy.client.files.extras import reading, require

from . import pixels
from .geometry import place

_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


class Slice(NamedTuple):
    """One image: its file, and its header without pixels."""

    path: Path
    header: Any


def is_dicom(path: Path) -> bool:
    """Whether a file says of itself that it is DICOM (PS3.10, 7.1)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read(path: Path, monochrome1: str | None = None) -> Content:
    """Read a folder with one series, or one file; values are those after the rescale slope.

    Files in a folder that are no DICOM images, or are segmentations, are left out. Files that are
    cut off are not: nothing else would tell that the volume lacks an end.

    :param monochrome1: ``keep`` or ``invert`` the values of images in which small ones are bright.
    :raises UnsupportedFile: if the images are not one series of parallel, evenly spaced slices.
    """
    require("pydicom", "dicom")
    with reading("DICOM"):  # all of it: pydicom parses a value when it is looked at
        slices = _series(path) if path.is_dir() else [_single(path)]
        headers = [each.header for each in slices]
        _check_frames(headers)
        invert = pixels.check(headers, monochrome1)
        if len(slices) == 1 and not headers[0].get("ImagePositionPatient"):
            return _picture(slices[0], invert)
        return _volume(slices, invert)


def _picture(single: Slice, invert: bool) -> Content:
    array = pixels.read([single.path], [single.header], invert)[0]
    return Content(np.moveaxis(array, 2, 0) if array.ndim == 3 else array, 2)


def _volume(slices: Sequence[Slice], invert: bool) -> Content:
    headers = [each.header for each in slices]
    if any(int(header.get("SamplesPerPixel", 1)) != 1 for header in headers):
        raise UnsupportedFile("is a series of images in colour")
    order, affine = place(headers)
    headers = [headers[index] for index in order]
    values = pixels.read([slices[index].path for index in order], headers, invert)
    array = values.transpose(2, 1, 0)
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return Content(array, 3, Grid(shape, affine, slices=headers))


def _series(folder: Path) -> list[Slice]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    if any(path.stat().st_size == 0 for path in files):
        raise UnreadableFile("holds empty files: copy it again")
    found = [_slice(path) for path in files if is_dicom(path)]
    slices = [each for each in found if _is_image(each.header)]
    classes = {_class_of(each) for each in slices} | {None}
    if any(_class_of(each) in classes for each in found if "Rows" not in each.header):
        raise UnreadableFile("holds images that end early: copy it again")
    if not slices:
        deeper = any(path.is_dir() for path in folder.iterdir())
        hint = ", only further folders: give the one of the series" if deeper else ""
        raise UnreadableFile(f"holds no DICOM images{hint}")
    return slices


def _class_of(each: Slice) -> str | None:
    """Return what a file is by its very first bytes, where they are there."""
    found = each.header.file_meta.get("MediaStorageSOPClassUID")
    return None if found is None else str(found)


def _single(path: Path) -> Slice:
    if not is_dicom(path):
        raise UnreadableFile("is not DICOM")
    single = _slice(path)
    if not _is_image(single.header):
        raise UnsupportedFile("is DICOM, and no image")
    return single


def _slice(path: Path) -> Slice:
    pydicom = require("pydicom", "dicom")
    return Slice(path, pydicom.dcmread(path, stop_before_pixels=True))


def _is_image(header: Any) -> bool:
    return "Rows" in header and header.get("SOPClassUID") not in _SEGMENTATIONS


def _check_frames(headers: Sequence[Any]) -> None:
    counts: dict[str, int] = {}
    for header in headers:
        series = str(header.get("SeriesInstanceUID", ""))
        counts[series] = counts.get(series, 0) + 1
    if len(counts) > 1:
        sizes = ", ".join(map(str, sorted(counts.values(), reverse=True)))
        raise UnsupportedFile(
            f"holds {len(counts)} series, of {sizes} images: give a folder with one of them"
        )
    if any(_frames(header) for header in headers):
        raise UnsupportedFile(
            "is a multi-frame object: convert it to NIfTI or to one file for each image"
        )


def _frames(header: Any) -> bool:
    return "SharedFunctionalGroupsSequence" in header or int(header.get("NumberOfFrames") or 1) > 1
