"""The axes of a file and those of a model's input and output.

To the model: channels, if there are any, and the spatial axes, behind as many axes of size 1 as the
declared shape has more (batch, channel). Where the declared shape is met only without the one
spatial axis of size 1, that is left out: a model of slices gets a slice.

Back: the spatial axes are the last ones and must be those that were sent. Of the axes before them
those of size 1 are removed; one may be left, the channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .content import Affine, Array, Content, Grid
from .errors import GeometryMismatch
from .orientation import Turn, turn_to

#: Axes before the spatial ones where no shape is declared: batch and channel.
_LEADING = 2


@dataclass(frozen=True)
class Layout:
    """How the spatial axes of a file were sent.

    :param sizes: of the spatial axes, as sent.
    :param grid: of the file.
    :param turn: by which they were turned.
    :param dropped: the axis of size 1, after the turn, that was left out.
    """

    sizes: tuple[int, ...]
    grid: Grid | None = None
    turn: Turn | None = None
    dropped: int | None = None

    @property
    def affine(self) -> Affine | None:
        """4 x 4, from indices as sent to millimetres (RAS+), if they are those of a volume."""
        if self.grid is None or self.dropped is not None:
            return None
        affine = self.grid.affine
        return affine if self.turn is None else self.turn.place(affine, self.sizes)


def to_model(
    content: Content, shape: Sequence[int] | None, orientation: str | None = None
) -> tuple[Array, Layout]:
    """Return the array of a file as a model takes it, and how to come back.

    :param content: of which the value is an array.
    :param shape: the declared shape of the input, -1 for a free size; ``None`` if there is none:
        an image then gets a batch and a channel axis, other arrays are taken as they are.
    :param orientation: where the indices of the spatial axes shall grow to, such as ``RAS``.
    :raises GeometryMismatch: if an orientation is asked for, and the file does not say its own.
    """
    array, turn = np.asarray(content.value), None
    if orientation is not None:
        if content.grid is None:
            raise GeometryMismatch(f"has no orientation that could be turned to {orientation}")
        if not content.grid.is_oriented:
            raise GeometryMismatch(
                f"does not say how it lies in the patient, and cannot be turned to {orientation}"
            )
        turn = turn_to(orientation, content.grid.affine)
        array = turn.apply(array)
    dropped = _find_superfluous(array.shape, content.spatial, shape)
    if dropped is not None:
        array = array.squeeze(array.ndim - content.spatial + dropped)
    spatial = content.spatial - (dropped is not None)
    sizes = array.shape[array.ndim - spatial :]
    rank = len(shape) if shape is not None else spatial + (_LEADING if spatial else array.ndim)
    return array.reshape(_lead(array.shape, rank)), Layout(sizes, content.grid, turn, dropped)


def from_model(array: Array, layout: Layout) -> Content:
    """Return an array that a model gave as the content of a file on the grid of its input.

    :raises GeometryMismatch: if the shapes do not agree, or the input has no geometry.
    """
    if layout.grid is None:
        raise GeometryMismatch("the input has no geometry that could be put on it")
    count = len(layout.sizes)
    if array.shape[array.ndim - count :] != layout.sizes:
        raise GeometryMismatch(
            f"the output has shape {list(array.shape)} and the input {list(layout.sizes)}: "
            "its geometry cannot be put on it"
        )
    lead = tuple(size for size in array.shape[: array.ndim - count] if size != 1)
    if len(lead) > 1:
        raise GeometryMismatch(
            f"the output has shape {list(array.shape)}: more than one axis of channels before "
            f"{list(layout.sizes)}"
        )
    array = array.reshape(lead + layout.sizes)
    if layout.dropped is not None:
        array = np.expand_dims(array, len(lead) + layout.dropped)
    if layout.turn is not None:
        array = layout.turn.undo(array)
    return Content(array, 3, layout.grid)


def to_picture(array: Array, layout: Layout | None) -> Content:
    """Return an array that a model gave as a picture: (channels,) rows, columns.

    A slice of a volume is shown as DICOM has it: i is the column and j the row.

    :param layout: of the input on whose grid the array lies, if there is one.
    """
    if layout is not None and layout.grid is not None and 1 in layout.grid.shape:
        volume = from_model(array, layout)
        axis = volume.value.ndim - 3 + layout.grid.shape.index(1)
        return Content(volume.value.squeeze(axis).swapaxes(-1, -2), 2)
    lead = tuple(size for size in array.shape[:-2] if size != 1)
    return Content(array.reshape(lead + array.shape[-2:]), 2)


def _find_superfluous(
    found: tuple[int, ...], spatial: int, declared: Sequence[int] | None
) -> int | None:
    """Return the spatial axis without which the declared shape is met, if it is not with it."""
    first = len(found) - spatial
    if declared is None or found[first:].count(1) != 1 or _fits(found, declared):
        return None
    at = found.index(1, first)
    return at - first if _fits(found[:at] + found[at + 1 :], declared) else None


def _fits(found: tuple[int, ...], declared: Sequence[int]) -> bool:
    led = _lead(found, len(declared))
    return len(led) == len(declared) and all(
        want in (-1, size) for want, size in zip(declared, led)
    )


def _lead(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Return a shape behind as many axes of size 1 as it lacks."""
    return (1,) * (rank - len(shape)) + shape
