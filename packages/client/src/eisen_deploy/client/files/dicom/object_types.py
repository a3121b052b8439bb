"""What a DICOM object is: an image of a volume, one beside it, a mosaic, or no image at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eisen_deploy.client.files.libraries import require

from .headers import read_private

if TYPE_CHECKING:
    from pydicom import Dataset

#: They have rows and columns, and are made of images: segmentations, label maps, parametric maps
#: and doses.
_MADE_OF_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.481.2",
)
PRIVATE = "an object of a private class"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_LOCALIZER = {"LOCALIZER", "SCOUT"}
#: Of Siemens, and of UIH.
_TILES = {"MOSAIC", "VFRAME"}

#: Values of Image Type by which images differ in meaning (PS3.3, C.7.6.1.1.2, C.8.3.1.1.1
#: and C.8.16.1, and what Siemens, GE and Philips write). Others may differ among the images of one
#: volume, those of a scanner's filters for example.
_MEANINGS = {
    "ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY",
    "MPR", "CSA MPR", "CURVED MPR", "REFORMATTED", "RESAMPLED", "PROJECTION IMAGE",
    "MIP", "CSA MIP", "MAX_IP", "MIN_IP", "MIN IP", "MAXIMUM", "MINIMUM", "MEAN", "AVERAGE",
    "VOLUME RENDER", "SUBTRACTION", "SUB", "ADDITION", "MONOENERGETIC", "VMI",
    "M", "P", "R", "I", "MAGNITUDE", "PHASE", "PHASE MAP", "REAL", "IMAGINARY", "NORM",
    "W", "F", "IP", "OP", "WATER", "FAT", "IN_PHASE", "OUT_PHASE",
    "ADC", "FA", "TRACEW", "T1 MAP", "T2 MAP", "CBF", "CBV", "MTT", "TTP",
}  # fmt: skip


def holds_image(header: Dataset) -> bool:
    """Whether an object holds an image, and not something that was made of images."""
    has_pixels = "Rows" in header and "Columns" in header
    return has_pixels and header.get("SOPClassUID") not in _MADE_OF_IMAGES


def is_image_class(uid: object) -> bool:
    """Whether objects of a class are images, by its name in the standard."""
    return uid is not None and "Image Storage" in _find_name(uid)


def describe_class(uid: object) -> str:
    """Return what objects of a class are: ``Encapsulated PDF``, for example."""
    name = _find_name(uid)
    return PRIVATE if name == str(uid) else name.replace(" Storage", "")


def explain_beside(header: Dataset) -> str:
    """Return what an image is if it usually lies beside a volume; nothing if it may be in it."""
    if _LOCALIZER & set(_read_types(header)):
        return "a localizer"
    uid = str(header.get("SOPClassUID", ""))
    if uid == _SECONDARY_CAPTURE or uid.startswith(f"{_SECONDARY_CAPTURE}."):
        return "a secondary capture"
    return ""


def describe_type(header: Dataset) -> str:
    """Return the values of Image Type that say what an image means."""
    return " ".join(value for value in _read_types(header) if value in _MEANINGS)


def is_mosaic(header: Dataset) -> bool:
    """Whether an image holds all slices of a volume as tiles, as those of EPI do."""
    return not _TILES.isdisjoint(_read_types(header)) or (
        header.get("Modality") == "MR" and _count_tiles(header) > 1
    )


def _read_types(header: Dataset) -> list[str]:
    values = header.get("ImageType") or []
    several = [values] if isinstance(values, str) else values
    return [str(value).strip().upper() for value in several]


def _find_name(uid: object) -> str:
    return str(require("pydicom.uid", "dicom").UID(str(uid)).name)


def _count_tiles(header: Dataset) -> int:
    count = read_private(header, 0x0019, "SIEMENS MR HEADER", 0x0A)
    if isinstance(count, bytes):  # of a file without types, where pydicom does not know it
        count = int.from_bytes(count[:2], "little")
    if count is None:
        count = _count_by_csa(read_private(header, 0x0029, "SIEMENS CSA HEADER", 0x10))
    return int(count or 0)


def _count_by_csa(csa: object) -> int:
    """Return ``NumberOfImagesInMosaic`` of Siemens' own header: a name of 64 bytes, and its values.

    See https://nipy.org/nibabel/dicom/siemens_csa.html.
    """
    if not isinstance(csa, bytes):
        return 0
    start = csa.find(b"NumberOfImagesInMosaic\0")
    if start < 0 or len(csa) < start + 84 + 16:
        return 0
    values = csa[start + 84 + 16 : start + 84 + 16 + 12].split(b"\0")[0].strip()
    return int(values) if values.isdigit() else 0
