"""The files of a folder: each is an image, is left out by name, or is why the folder is refused.

Nothing else would show that a volume lacks an image, so a file that may be one and cannot be read
is never left out: the folder is refused, and the file is named.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import NamedTuple

from eisen_deploy.client.files.dicom import object_types, recognition
from eisen_deploy.client.files.dicom.headers import Slice, read_header
from eisen_deploy.client.files.dicom.wording import list_reasons
from eisen_deploy.client.files.errors import UnreadableFile
from eisen_deploy.client.files.libraries import reading
from eisen_deploy.client.files.signatures import identify

NOT_DICOM = "not DICOM"
_AGAIN = "copy it again"
#: What decides about an image; pydicom reads a value when it is looked at.
_DECISIVE = (
    "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ImageType",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "RescaleSlope", "RescaleIntercept", "Modality",
)  # fmt: skip


class LeftOut(NamedTuple):
    """A file that is not an image: what it is, ``a PDF`` for example, or which DICOM object."""

    reason: str
    is_dicom: bool = False


class Refusal(NamedTuple):
    """A file that may be an image and cannot be read: how it is, and what to do."""

    state: str
    advice: str


class Found(NamedTuple):
    """What a folder holds.

    :param slices: the images.
    :param left_out: names of the other files, each with the reason.
    :param folders: its folders, not looked into.
    """

    slices: list[Slice]
    left_out: list[tuple[str, str]]
    folders: list[Path]


def look_through(folder: Path) -> Found:
    """Return what a folder holds.

    :raises UnreadableFile: if files that may be images cannot be read; the message names them.
    """
    entries = sorted(folder.iterdir())
    folders = [path for path in entries if path.is_dir()]
    files = [path for path in entries if not path.is_dir()]
    found = [(path.name, examine(path, path.name)) for path in files]
    refused = [(name, what) for name, what in found if isinstance(what, Refusal)]
    if refused:
        reasons = list_reasons((name, f"{what.state}: {what.advice}") for name, what in refused)
        raise UnreadableFile(f"holds files that cannot be read: {reasons}")
    return Found(
        [what for _, what in found if isinstance(what, Slice)],
        [(name, what.reason) for name, what in found if isinstance(what, LeftOut)],
        folders,
    )


def examine(path: Path, name: str = "") -> Slice | LeftOut | Refusal:
    """Return what a file is, by its content: its name does not count."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return LeftOut("not an ordinary file")
        start = recognition.read_start(path)
        if not any(start) and _holds_zeros_only(path):
            return _explain_empty(path)
        unpacked = recognition.unpack_start(path, start)
    except OSError:
        return Refusal("not readable", "check that it is there, and that you may read it")
    if recognition.begins_dicom(unpacked):
        return Refusal("compressed by gzip", "unpack it")
    if not recognition.begins_dicom(start):
        return LeftOut(identify(path) or NOT_DICOM)
    try:
        with reading("DICOM"):
            header = read_header(path)
            for keyword in _DECISIVE:
                header.get(keyword)
            return _judge(Slice(path, header, name), certain=recognition.has_preamble(start))
    except UnreadableFile:
        return Refusal("damaged", _AGAIN)


def _judge(found: Slice, *, certain: bool) -> Slice | LeftOut | Refusal:
    header = found.header
    uids = [header.get("SOPClassUID"), header.file_meta.get("MediaStorageSOPClassUID")]
    classes = [object_types.describe_class(uid) for uid in uids if uid]
    complete = bool(classes and header.get("SeriesInstanceUID"))
    if object_types.holds_image(header):
        if certain or complete:
            return found
        return Refusal("DICOM without a preamble and without UIDs", "export it again")
    whole = complete or (classes and classes[0] != object_types.PRIVATE)
    if not whole or any(object_types.is_image_class(uid) for uid in uids):
        return Refusal("cut off, or not a complete DICOM object", _AGAIN)
    return LeftOut(classes[0], is_dicom=True)


def _explain_empty(path: Path) -> LeftOut | Refusal:
    size = path.stat().st_size
    if not size and path.name.startswith("."):
        return LeftOut("empty")
    state = "filled with zeros" if size else "empty"
    return Refusal(state, f"{_AGAIN}, or remove it if it is not an image")


def _holds_zeros_only(path: Path) -> bool:
    with path.open("rb") as file:
        return not any(any(block) for block in iter(lambda: file.read(1 << 16), b""))
