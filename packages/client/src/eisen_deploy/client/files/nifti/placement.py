"""Where a NIfTI header places voxels, and the nearest placement at right angles.

A header can have two placements: the sform, any affine, and the qform, a rotation and the sizes in
pixdim. nibabel and FSL prefer the sform. Programs built on ITK take it only if its axes are at
right angles, and else the qform; a file that has neither is refused by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from eisen_deploy.client.files.content import Affine, measure_voxel
from eisen_deploy.client.files.dicom.volume.geometry import COSINE, OFF
from eisen_deploy.client.files.libraries import require

if TYPE_CHECKING:
    from nibabel import Nifti1Header

#: By how much b² + c² + d² may exceed 1; some programs write them with two digits.
_QUATERNION = 0.02
#: What they leave of 1 where it is taken for 0: they have 24 bits, and no more is known.
_NO_REST = 1e-7
#: Three vectors lie in a plane if they span less, relative to the product of their lengths.
_FLAT = 1e-6
#: How far from right angles ITK takes an sform (itkNiftiImageIO.cxx, 5.4).
_ITK = 1e-4
#: The spatial part of xyzt_units where it is not millimetres: metres, microns.
_MILLIMETRES = {1: 1e3, 3: 1e-3}


def find_affines(header: Nifti1Header, shape: tuple[int, int, int]) -> tuple[Affine, ...]:
    """Return where programs place the voxels of a sound header, to millimetres in RAS+.

    :returns: three affines, 4 x 4: of programs that prefer the sform, of those that prefer the
        qform, and of those that prefer the sform and ignore the units.
    """
    found = [
        place(header, shape)
        for code, place in (("sform_code", _place_by_sform), ("qform_code", _place_by_qform))
        if header[code] > 0
    ] or [_place_at_centre(header, shape)]
    scale = np.diag([_MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)] * 3 + [1.0])
    return scale @ found[0], scale @ found[-1], found[0]


def find_problems(header: Nifti1Header) -> Iterator[str]:
    """Say why the placements of a header cannot be used."""
    if header["sform_code"] > 0:
        rows = _place_by_sform(header)
        if not np.isfinite(rows).all() or _measure_spread(rows) <= _FLAT:
            yield "the affine of its sform places all voxels in a plane, or nowhere"
    if header["qform_code"] > 0:
        numbers = _read_numbers(header, "quatern_b", "quatern_c", "quatern_d")
        if not np.square(numbers).sum() <= 1 + _QUATERNION:
            yield "quatern_b, c and d are not a rotation"
        if not np.isfinite(_read_numbers(header, "qoffset_x", "qoffset_y", "qoffset_z")).all():
            yield "qoffset is not finite"
        if header["pixdim"][0] not in (-1, 0, 1):
            yield "pixdim[0] is neither 1 nor -1"


def is_rounded(affine: Affine, shape: tuple[int, int, int]) -> bool:
    """Whether no more than rounding keeps the axes of a DICOM series from right angles.

    The bounds are those of reading: for the cosines of rows and columns, and for the positions of
    the images, of which the first and the last may be off by as much in opposite directions.
    """
    directions = _find_directions(affine)
    skew = np.abs(directions.T @ directions - np.eye(3))
    drift = 2 * OFF / max(shape[2] - 1, 1)
    return bool(skew[0, 1] <= COSINE and skew[2].max() <= COSINE + drift)


def is_taken_by_itk(affine: Affine) -> bool:
    """Whether programs built on ITK take an affine as it is."""
    directions = _find_directions(affine)
    return bool(np.abs(directions @ directions.T - np.eye(3)).max() <= _ITK)


def make_rigid(affine: Affine, shape: tuple[int, int, int]) -> Affine:
    """Return the nearest affine at right angles, with the same voxel sizes and the same centre."""
    left, _, right = np.linalg.svd(_find_directions(affine))
    rigid = np.eye(4)
    rigid[:3, :3] = left @ right * measure_voxel(affine)
    centre = (np.array(shape) - 1) / 2
    rigid[:3, 3] = affine[:3, 3] + (affine - rigid)[:3, :3] @ centre
    return rigid


def find_departure(affine: Affine, other: Affine, shape: tuple[int, int, int]) -> float:
    """Return how far apart two affines place a corner of a volume, in the shortest voxel edges."""
    corners = np.indices((2, 2, 2)).reshape(3, 8) * (np.array(shape)[:, None] - 1)
    apart = (other - affine)[:3] @ np.vstack([corners, np.ones(8)])
    shortest = measure_voxel(affine).min()
    return float(np.linalg.norm(apart, axis=0).max() / shortest)


def _find_directions(affine: Affine) -> Affine:
    """Return the unit vectors (3, 3) along which the axes run, as columns."""
    return affine[:3, :3] / measure_voxel(affine)


def _measure_spread(affine: Affine) -> float:
    """Return the volume that the axes span, relative to the product of their lengths."""
    is_flat = not measure_voxel(affine).all()
    return 0.0 if is_flat else float(abs(np.linalg.det(_find_directions(affine))))


def _read_numbers(header: Nifti1Header, *names: str) -> Affine:
    return np.array([header[name] for name in names], float)


def _place_by_sform(header: Nifti1Header, *_: object) -> Affine:
    return np.vstack([_read_numbers(header, "srow_x", "srow_y", "srow_z"), [0, 0, 0, 1]])


def _place_by_qform(header: Nifti1Header, shape: tuple[int, int, int]) -> Affine:
    """Return the affine of the quaternion, as nifti1_io.c has it."""
    b, c, d = _read_numbers(header, "quatern_b", "quatern_c", "quatern_d")
    rest = 1 - (b * b + c * c + d * d)
    a = np.sqrt(rest) if rest >= _NO_REST else 0.0
    affine = np.eye(4)
    affine[:3, :3] = require("nibabel.quaternions", "nifti").quat2mat((a, b, c, d))
    affine[:3, :3] *= _read_sizes(header, shape) * [1, 1, -1 if header["pixdim"][0] < 0 else 1]
    affine[:3, 3] = _read_numbers(header, "qoffset_x", "qoffset_y", "qoffset_z")
    return affine


def _place_at_centre(header: Nifti1Header, shape: tuple[int, int, int]) -> Affine:
    """Return the affine of a header without sform and qform, as nibabel has it."""
    volumeutils = require("nibabel.volumeutils", "nifti")
    affine: Affine = volumeutils.shape_zoom_affine(shape, _read_sizes(header, shape))
    return affine


def _read_sizes(header: Nifti1Header, shape: tuple[int, int, int]) -> Affine:
    """Return the sizes of a voxel; where an axis has only one, its size may be missing."""
    sizes = np.abs(np.array(header["pixdim"][1:4], float))
    return np.where((np.array(shape) == 1) & ~((sizes > 0) & np.isfinite(sizes)), 1.0, sizes)
