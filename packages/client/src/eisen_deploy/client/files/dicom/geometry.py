"""Where the images of a DICOM series lie: their order along the normal, and one affine for all.

From Image Position, Image Orientation and Pixel Spacing (PS3.3, C.7.6.2). A series that has no such
affine is refused with the reason, for a mask on a wrong grid would look right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eisen_deploy.client.files.content import Affine, Array
from eisen_deploy.client.files.errors import UnsupportedFile

#: DICOM's patient is LPS: x grows to the left, y to the back. That of NIfTI is RAS.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: Direction cosines are often written with four to six digits.
_COSINE = 1e-3
#: How far an image may lie from where it should be, in distances between images. The positions of
#: some scanners are rounded.
_OFF = 0.05


def place(headers: Sequence[Any]) -> tuple[list[int], Affine]:
    """Return the order of a series' images, and the affine of the volume that they then make.

    :param headers: of the images, in any order.
    :returns: indices into ``headers``, and the affine (4 x 4) from (column, row, image, 1) to
        millimetres in RAS+.
    :raises UnsupportedFile: if the images are not parallel, of one size, and evenly spaced.
    """
    plane = _plane(headers)
    positions = np.stack([_numbers(header, "ImagePositionPatient", 3) for header in headers])
    normal = np.cross(plane[:, 0], plane[:, 1])
    normal /= np.linalg.norm(normal)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    positions = positions[order]
    affine = np.eye(4)
    affine[:3, :2] = plane
    affine[:3, 3] = positions[0]
    if len(headers) == 1:
        affine[:3, 2] = normal * _numbers(headers[0], "SliceThickness", 1)[0]
    else:
        affine[:3, 2] = _step(positions, along[order])
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise UnsupportedFile("has images without a thickness, or in one line")
    return [int(index) for index in order], _LPS_TO_RAS @ affine


def _plane(headers: Sequence[Any]) -> Affine:
    """Return the vectors (3 x 2) from one column to the next, and from one row to the next."""
    sizes = {(header.Rows, header.Columns) for header in headers}
    if len(sizes) != 1:
        raise UnsupportedFile(f"holds images of {len(sizes)} different sizes")
    if len({str(header.get("FrameOfReferenceUID", "")) for header in headers}) != 1:
        raise UnsupportedFile("holds images with different frames of reference")
    cosines = np.stack([_numbers(header, "ImageOrientationPatient", 6) for header in headers])
    spacings = np.stack([_numbers(header, "PixelSpacing", 2) for header in headers])
    if spacings.min() <= 0:
        raise UnsupportedFile("has a pixel spacing that is not above 0")
    stray = np.abs(cosines - cosines[0]).max(axis=1) > _COSINE
    if stray.any():
        raise UnsupportedFile(
            f"holds images that are not parallel: {stray.sum()} of {len(headers)} have another "
            "orientation than the first (a localiser among them, perhaps)"
        )
    if np.abs(spacings / spacings[0] - 1).max() > _COSINE:
        raise UnsupportedFile("holds images with different pixel spacings")
    vectors = cosines[0].reshape(2, 3).T
    if np.abs(vectors.T @ vectors - np.eye(2)).max() > _COSINE:
        raise UnsupportedFile("has rows and columns that are not at right angles")
    scaled: Affine = vectors * spacings[0][::-1]  # Pixel Spacing: between rows first
    return scaled


def _step(positions: Array, along: Array) -> Array:
    """Return the vector from one image to the next."""
    count = len(positions)
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    same = int((gaps < max(_OFF * usual, 1e-4)).sum())
    if same:
        raise UnsupportedFile(
            f"holds {count} images at {count - same} positions: several time points, echoes or "
            "reconstructions, or copies"
        )
    missing = int(np.rint(gaps / usual).clip(1).sum()) - len(gaps)
    if missing and np.abs(gaps / usual - np.rint(gaps / usual)).max() < 4 * _OFF:
        raise UnsupportedFile(f"lacks {missing} of its {count + missing} images")
    step = (positions[-1] - positions[0]) / (count - 1)
    ideal = positions[0] + np.arange(count)[:, None] * step
    if np.linalg.norm(positions - ideal, axis=1).max() > _OFF * np.linalg.norm(step):
        raise UnsupportedFile(
            f"has images that are not evenly spaced: from {gaps.min():.3f} to {gaps.max():.3f} mm"
        )
    vector: Array = step
    return vector


def _numbers(header: Any, keyword: str, count: int) -> Affine:
    try:
        numbers = np.array(header[keyword].value, float).reshape(-1)
    except (KeyError, TypeError, ValueError):
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise UnsupportedFile(f"has images without {keyword} ({count} numbers)")
    return numbers
