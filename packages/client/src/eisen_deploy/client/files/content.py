"""What a file holds, once it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Affine = npt.NDArray[np.float64]

#: Positions nearer than this, relative to the size of a voxel, are the same.
_SAME = 1e-3
#: Likewise, where one may be a quaternion of 24 bits: 7e-4 radians over half of a large volume.
_SAME_BY_QUATERNION = 0.5


def measure_voxel(affine: Affine) -> Affine:
    """Return the sizes (3) of a voxel, in millimetres."""
    sizes: Affine = np.linalg.norm(affine[:3, :3], axis=0)
    return sizes


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume lie in the patient.

    :param shape: sizes of the axes (i, j, k), in voxels.
    :param affine: 4 x 4, from indices (i, j, k, 1) to millimetres to the right, front and top
        (RAS+) of the patient, as nibabel has it.
    :param header: of the NIfTI file that it comes from, as it stands on disk (``Nifti1Header``).
    :param slices: the headers (``Dataset``) of the DICOM images that it comes from, in the order
        of k.
    :param also: the affines by which other programs place the volume, if the file has several.
    :param is_oriented: whether the file says how the volume lies in the patient. If it does not,
        the affine says no more than the sizes of a voxel.
    """

    shape: tuple[int, int, int]
    affine: Affine
    header: Any = field(default=None, repr=False)
    slices: Sequence[Any] = field(default=(), repr=False)
    also: tuple[Affine, ...] = field(default=(), repr=False)
    is_oriented: bool = True

    def is_like(self, other: Grid) -> bool:
        """Whether another grid has its voxels at the same places, as any program sees them."""
        if self.shape != other.shape or self.is_oriented != other.is_oriented:
            return False
        size = float(measure_voxel(self.affine).min())
        far_corners = np.column_stack([np.diag(self.shape), np.zeros(3), self.shape])
        corners = np.vstack([far_corners, np.ones(5)])
        count = max(len(self.also), len(other.also))
        pairs = zip(self._list_affines(count), other._list_affines(count))
        first, *further = (float(np.abs((a - b) @ corners).max() / size) for a, b in pairs)
        return first <= _SAME and all(each <= _SAME_BY_QUATERNION for each in further)

    def _list_affines(self, further: int) -> list[Affine]:
        return [self.affine, *self.also, *[self.affine] * (further - len(self.also))]


@dataclass(frozen=True, eq=False)
class Content:
    """The content of one file.

    :param value: an array, or a plain value. The axes of an image are channels, if it has any,
        and then the spatial ones.
    :param spatial: how many of the last axes are spatial: 3 for a volume, 2 for a picture, 0 where
        nothing is known about them.
    :param grid: where the voxels lie, if the file says it.
    :param remarks: what the user should know: files of a folder that were set aside, for example.
        They may name files.
    """

    value: Any
    spatial: int = 0
    grid: Grid | None = None
    remarks: tuple[str, ...] = ()
