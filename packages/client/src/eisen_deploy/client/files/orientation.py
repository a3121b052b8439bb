"""Which way the axes of a volume run, and turning it so that they run another way.

A turn permutes and flips axes. No voxel changes its value or its place in the patient, so it is
undone without loss.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import numpy as np

from .content import Affine, Array, measure_voxel

_LETTERS = ("LR", "PA", "IS")


class Turn(NamedTuple):
    """A permutation of the last three axes, followed by flips.

    :param order: for each new axis the old one.
    :param flips: for each new axis whether it runs backwards.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: Array) -> Array:
        """Return a view of an array, turned."""
        turned = np.moveaxis(array, self._find_sources(), (-3, -2, -1))
        return np.flip(turned, self._find_flipped())

    def undo(self, array: Array) -> Array:
        """Return a view of an array, turned back."""
        unflipped = np.flip(array, self._find_flipped())
        return np.moveaxis(unflipped, (-3, -2, -1), self._find_sources())

    def place(self, affine: Affine, shape: tuple[int, ...]) -> Affine:
        """Return the affine of a turned volume.

        :param affine: of the volume as it was.
        :param shape: sizes of the three axes, turned.
        """
        back = np.zeros((4, 4))
        back[3, 3] = 1
        for axis, (source, is_flipped) in enumerate(zip(self.order, self.flips)):
            back[source, axis] = -1 if is_flipped else 1
            back[source, 3] = shape[axis] - 1 if is_flipped else 0
        placed: Affine = affine @ back
        return placed

    def _find_sources(self) -> tuple[int, ...]:
        return tuple(axis - 3 for axis in self.order)

    def _find_flipped(self) -> tuple[int, ...]:
        return tuple(axis - 3 for axis, is_flipped in enumerate(self.flips) if is_flipped)


def check_codes(codes: str) -> str:
    """Return an orientation such as ``RAS`` in capitals: where the indices of each axis grow to.

    :raises ValueError: if it is not one letter each of L or R, P or A, I or S, in any order.
    """
    axes = sorted(axis for code in codes.upper() for axis in range(3) if code in _LETTERS[axis])
    if len(codes) != 3 or axes != [0, 1, 2]:
        raise ValueError("an orientation has one letter each of L or R, A or P, I or S: RAS")
    return codes.upper()


def turn_to(codes: str, affine: Affine) -> Turn:
    """Return the turn after which the axes of a volume run as near as possible as asked.

    :param codes: where the indices of each axis shall grow to, such as ``RAS``.
    :param affine: of the volume as it is.
    """
    world, grows = _match_axes(affine)
    order, flips = [], []
    for code in codes:
        target = next(axis for axis in range(3) if code in _LETTERS[axis])
        axis = world.index(target)
        order.append(axis)
        flips.append(grows[axis] != bool(_LETTERS[target].index(code)))
    return Turn((order[0], order[1], order[2]), (flips[0], flips[1], flips[2]))


def find_codes(affine: Affine) -> str:
    """Return where the indices of each axis grow to, such as ``RAS``; the nearest if oblique."""
    return "".join(_LETTERS[world][grows] for world, grows in zip(*_match_axes(affine)))


def _match_axes(affine: Affine) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return for each axis the patient's axis that it is nearest to, and whether it grows along."""
    cosines = affine[:3, :3] / measure_voxel(affine)
    axes = np.arange(3)
    best = max(permutations(range(3)), key=lambda order: np.abs(cosines[list(order), axes]).sum())
    grows = cosines[list(best), axes] > 0
    return (best[0], best[1], best[2]), (bool(grows[0]), bool(grows[1]), bool(grows[2]))
