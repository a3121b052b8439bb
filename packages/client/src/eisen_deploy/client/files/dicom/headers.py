"""Reading DICOM files by pydicom, those included that do not say how they are encoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from eisen_deploy.client.files.errors import UnsupportedFile
from eisen_deploy.client.files.libraries import require

from .wording import name_images

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

#: By whether elements lack their type (implicit VR), and whether they are little-endian.
_SYNTAXES = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}


class Slice(NamedTuple):
    """One image.

    :param path: of its file.
    :param header: all that comes before the pixels.
    :param name: of its file in the folder; nothing for a file that was given by itself.
    """

    path: Path
    header: FileDataset
    name: str = ""


def read_header(path: Path) -> FileDataset:
    """Return a file up to its pixels. It must be DICOM; it may lack the preamble."""
    pydicom = require("pydicom", "dicom")
    header: FileDataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    return header


def read_image(path: Path) -> FileDataset:
    """Return a file with its pixels, and with a transfer syntax.

    Without one, pydicom sees from the elements how they are encoded. The pixels may be compressed
    all the same, so their length has to be that of plain ones.

    :raises UnsupportedFile: if it cannot be known how the pixels are encoded.
    """
    pydicom = require("pydicom", "dicom")
    image: FileDataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in image.file_meta:
        size = count_bytes(image)
        if len(image.get("PixelData", b"")) not in (size, size + size % 2):
            raise UnsupportedFile("does not say how its pixels are encoded (no transfer syntax)")
        image.file_meta.TransferSyntaxUID = pydicom.uid.UID(_SYNTAXES[_find_encoding(image)])
    return image


def read_private(header: Dataset, group: int, creator: str, element: int) -> Any:
    """Return the value of a manufacturer's own attribute; ``None`` if it is absent."""
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None


def check_same(slices: Sequence[Slice], keywords: Sequence[str], reason: str) -> None:
    """Check that attributes have the same values in all images.

    :raises UnsupportedFile: with the reason, and the names of the images that differ from most.
    """
    values = [str([each.header.get(keyword, "") for keyword in keywords]) for each in slices]
    usual = Counter(values).most_common(1)[0][0]
    strays = [each for each, value in zip(slices, values) if value != usual]
    if strays:
        raise UnsupportedFile(f"{reason} ({name_images(strays)} and the others)")


def count_bytes(image: Dataset) -> int:
    """Return how many bytes the pixels of one frame have if they are not compressed."""
    numbers = int(image.Rows) * int(image.Columns) * int(image.get("SamplesPerPixel", 1))
    return (numbers * int(image.BitsAllocated) + 7) // 8


def _find_encoding(image: Dataset) -> tuple[bool, bool]:
    if hasattr(image, "original_encoding"):  # since pydicom 3
        implicit, little = image.original_encoding
    else:
        implicit, little = image.is_implicit_VR, image.is_little_endian
    return bool(implicit), bool(little)
