"""Where the images of a DICOM series lie: their order along the normal, and one affine for all.

From Image Position, Image Orientation and Pixel Spacing (PS3.3, C.7.6.2). A series that has no such
affine is refused with the reason, for a mask on a wrong grid would look right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eisen_deploy.client.files.content import Affine, Array
from eisen_deploy.client.files.dicom.headers import Slice, check_same
from eisen_deploy.client.files.dicom.wording import name_images, name_some
from eisen_deploy.client.files.errors import UnsupportedFile

from .completeness import explain_repeats

#: DICOM's patient is LPS: x grows to the left, y to the back. That of NIfTI is RAS.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: Direction cosines are often written with four to six digits.
COSINE = 1e-3
#: How far an image may lie from where it should be, in distances between images. The positions of
#: some scanners are rounded.
OFF = 0.05
#: The thickness of a single image that does not say it, as ITK and dcm2niix have it.
ASSUMED = 1.0
#: After so many fits, a line that fits has been found if there is one, or one that almost does.
_ROUNDS = 50


def place(slices: Sequence[Slice]) -> tuple[list[Slice], Affine]:
    """Return a series' images in their order, and the affine of the volume that they then make.

    :param slices: the images, in any order.
    :returns: the images, and the affine (4 x 4) from (column, row, image, 1) to millimetres in
        RAS+.
    :raises UnsupportedFile: if the images are not parallel, of one size, and evenly spaced; the
        message names those that are the reason.
    """
    cosines, spacings = _read_planes(slices)
    positions = _stack_numbers(slices, "ImagePositionPatient", 3)
    normal = np.cross(cosines[0, :3], cosines[0, 3:])
    normal /= np.linalg.norm(normal)
    order = np.argsort(positions @ normal, kind="stable")
    slices, positions = [slices[index] for index in order], positions[order]
    down, across = spacings[order[0]]
    affine = np.eye(4)
    affine[:3, 0] = cosines[order[0], :3] * across
    affine[:3, 1] = cosines[order[0], 3:] * down
    if len(slices) == 1:
        affine[:3, 2] = normal * (find_thickness(slices[0]) or ASSUMED)
        affine[:3, 3] = positions[0]
    else:
        _check_gaps(slices, positions @ normal)
        affine[:3, 2], affine[:3, 3] = _fit_line(slices, positions)
    if not np.isfinite(affine).all():
        raise UnsupportedFile("has positions or spacings that are too large")
    return slices, _LPS_TO_RAS @ affine


def find_thickness(single: Slice) -> float | None:
    """Return what an image says of its thickness, in millimetres."""
    for keyword in ("SliceThickness", "SpacingBetweenSlices"):
        found = np.abs(_read_numbers(single, keyword))
        if found.size == 1 and 0 < found[0] < np.inf:
            return float(found[0])
    return None


def _read_planes(slices: Sequence[Slice]) -> tuple[Affine, Affine]:
    """Return orientations (n, 6) and pixel spacings (n, 2) of images in parallel planes.

    :raises UnsupportedFile: if the planes are not parallel, or the images not of one size.
    """
    check_same(slices, ("Rows", "Columns"), "holds images of different sizes")
    check_same(slices, ("FrameOfReferenceUID",), "holds images with different frames of reference")
    cosines = _stack_numbers(slices, "ImageOrientationPatient", 6)
    spacings = _stack_numbers(slices, "PixelSpacing", 2)
    if spacings.min() <= 0:
        raise UnsupportedFile("has a pixel spacing that is not above 0")
    stray = _find_strays(cosines)
    if stray.any():
        raise UnsupportedFile(
            f"holds images that are not parallel: {stray.sum()} of {len(slices)} have another "
            f"orientation than the others ({_name_strays(slices, stray)}): perhaps a localizer"
        )
    stray = _find_strays(np.log(spacings))
    if stray.any():
        raise UnsupportedFile(
            "holds images with different pixel spacings "
            f"({_name_strays(slices, stray)} and the others)"
        )
    vectors = cosines.reshape(-1, 2, 3)
    products = vectors @ vectors.transpose(0, 2, 1)
    if np.abs(products - np.eye(2)).max() > COSINE:
        raise UnsupportedFile("has rows and columns that are not at right angles")
    return cosines, spacings


def _find_strays(numbers: Array) -> Array:
    """Return which rows (n, k) are not like most, that is, like the one in their middle."""
    middle = np.abs(numbers - np.median(numbers, axis=0)).max(axis=1).argmin()
    stray: Array = np.abs(numbers - numbers[middle]).max(axis=1) > COSINE
    return stray


def _name_strays(slices: Sequence[Slice], which: Array) -> str:
    return name_images(each for each, stray in zip(slices, which) if stray)


def _check_gaps(slices: Sequence[Slice], along: Array) -> None:
    """Check that no position is there twice or lacks its image.

    :param along: distances of the images (n) along the normal, ascending.
    """
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    apart = gaps >= max(OFF * usual, 1e-4)
    if not apart.all():
        ends = np.flatnonzero(apart) + 1
        groups = [slices[start:end] for start, end in zip([0, *ends], [*ends, len(slices)])]
        raise UnsupportedFile(explain_repeats(groups))
    steps = np.rint(gaps / usual).clip(1)
    missing = int(steps.sum()) - len(gaps)
    if missing and np.abs(gaps / usual - steps).max() < 4 * OFF:
        pairs = zip(slices, slices[1:], steps)
        where = [f"{one.name} and {other.name}" for one, other, step in pairs if step > 1]
        raise UnsupportedFile(
            f"lacks {missing} of its {len(slices) + missing} images, between {name_some(where, 4)}"
        )


def _fit_line(slices: Sequence[Slice], positions: Array) -> tuple[Array, Array]:
    """Return the vector from one image to the next, and the position of the first.

    Both are those of a line through all positions (n, 3), on which images have even distances. It
    is that of least squares. Where positions are rounded, that may be off one by more than is
    tolerated, and another line by less off all: positions get more weight then where they are off
    (Lawson's algorithm, which leads to the line with the least greatest distance).
    """
    weights = np.ones(len(positions))
    for _ in range(_ROUNDS):
        weights /= weights.sum()
        step, line = _draw_line(positions, weights)
        off = np.linalg.norm(positions - line, axis=1)
        if off.max() <= OFF * np.linalg.norm(step):
            return step, line[0]
        weights *= off
    raise UnsupportedFile(
        f"has images that are not evenly spaced: {_describe_worst(slices, positions)}"
    )


def _draw_line(positions: Array, weights: Array) -> tuple[Array, Array]:
    """Return the step and the places (n, 3) of the line of least squares with these weights."""
    numbers = np.arange(len(positions))
    places = numbers - weights @ numbers
    step = (weights * places) @ positions / (weights @ places**2)
    return step, weights @ positions + places[:, None] * step


def _describe_worst(slices: Sequence[Slice], positions: Array) -> str:
    """Return which image is the farthest from the line of the others (by least squares)."""
    count = len(positions)
    step, line = _draw_line(positions, np.full(count, 1 / count))
    off = np.linalg.norm(positions - line, axis=1)
    # An image draws the line after it, one at an end the most.
    places = np.arange(count) - (count - 1) / 2
    own = 1 / count + places**2 / (places @ places)
    worst = int(np.argmax(off / np.sqrt(1 - own)))
    return (
        f"{slices[worst].name}, number {worst + 1} of {count}, lies "
        f"{off[worst] / (1 - own[worst]):.3f} mm off the line of the others, which are "
        f"{np.linalg.norm(step):.3f} mm apart; a twentieth of that is tolerated"
    )


def _stack_numbers(slices: Sequence[Slice], keyword: str, count: int) -> Affine:
    """Return numbers (images, count) of the headers."""
    rows = [_read_numbers(each, keyword) for each in slices]
    strays = np.array([len(row) != count or not np.isfinite(row).all() for row in rows])
    if strays.any():
        named = _name_strays(slices, strays)
        raise UnsupportedFile(f"has images without {keyword}{f' ({named})' if named else ''}")
    return np.stack(rows)


def _read_numbers(each: Slice, keyword: str) -> Affine:
    try:
        return np.array(each.header[keyword].value, float).reshape(-1)
    except (KeyError, TypeError, ValueError):
        return np.empty(0)
