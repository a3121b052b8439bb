"""What a sample is altered to, for the proof of batches.

Arrays of numbers are altered all at once, so that they still go together. Each other value is
altered for itself: a transform may refuse what another one of them becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from eisen_deploy.packaging._shared.model.metadata import AFFINE

if TYPE_CHECKING:
    from eisen_deploy.serving.runtime._shared.model.metadata import Metadata

Array = NDArray[Any]

_MOST_OTHERS = 8

# --- an array of at least one row, to one of the same type and the same axes ----------------


def _scale(array: Array, factor: int) -> Array:
    return np.asarray(array * factor, array.dtype) if array.dtype.kind in "fc" else array


def _shuffle(array: Array, numbers: Generator) -> Array:
    mixed: Array = numbers.permutation(array.reshape(-1)).reshape(array.shape)
    return mixed


def _draw_noise(array: Array, numbers: Generator) -> Array:
    if array.dtype.kind == "f" and array.size:
        noise = numbers.standard_normal(array.shape) * (array.std() or 1) + array.mean()
        return np.asarray(noise, array.dtype)
    if array.dtype.kind in "biu" and array.size:  # of one value, it would stay what it is
        return _draw_between(int(array.min()), int(array.max()), array, numbers)
    return _shuffle(array, numbers)


def _draw_between(low: int, high: int, array: Array, numbers: Generator) -> Array:
    most = 1 if array.dtype.kind == "b" else int(np.iinfo(array.dtype).max)
    if low == high:
        low, high = (low, high + 1) if high < most else (low - 1, high)
    return np.asarray(numbers.integers(low, high, array.shape, array.dtype, endpoint=True))


def _put_nan(array: Array) -> Array:
    changed: Array = array.copy()
    if array.dtype.kind in "fc":
        changed.reshape(-1)[:1] = np.nan
    return changed


_OF_ROWS = frozenset(["the sample twice", "its first row", "its last row"])
ALTERATIONS: dict[str, Callable[[Array, Generator], Array]] = {
    "the sample": lambda array, _: array,
    "zeros": lambda array, _: np.zeros_like(array),
    "noise": _draw_noise,
    "the sample scaled by -3": lambda array, _: _scale(array, -3),
    "the sample rolled": lambda array, _: np.roll(array, 1, axis=-1),
    "the sample twice": lambda array, _: np.concatenate([array, array]),
    "its first row": lambda array, _: array[:1],
    "its last row": lambda array, _: array[-1:],
    "the sample flipped": lambda array, _: np.flip(array, -1) if array.ndim > 1 else array,
    "the sample scaled by 100": lambda array, _: _scale(array, 100),
    "the sample shuffled": _shuffle,
    "the sample with a NaN": lambda array, _: _put_nan(array),
}


def alter(name: str, arrays: Mapping[str, Array], seed: int) -> dict[str, Array]:
    """Return arrays in one altered form.

    The affine of an image stays: scaled by 100, it would have the image resampled to a million
    times as many voxels.
    """
    affines = {f"{image}{AFFINE}" for image in arrays} if name not in _OF_ROWS else ()
    return {
        key: array if key in affines else ALTERATIONS[name](array, np.random.default_rng(seed))
        for key, array in arrays.items()
    }


# --- arrays of other sizes ------------------------------------------------------------------


def resize(
    arrays: Mapping[str, Array], metadata: Metadata
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield forms that differ in the sizes that the metadata leaves free, but for axis 0."""
    free = {
        item.name: [axis for axis, size in enumerate(item.shape or ()) if axis and size == -1]
        for item in metadata.inputs or ()
    }
    axes = {name: free.get(name, []) for name in arrays}
    if any(axes.values()):
        yield "half the sample", {n: _halve(array, axes[n]) for n, array in arrays.items()}
        yield (
            "the sample beside itself",
            {
                n: np.concatenate([array] * 2, axes[n][-1]) if axes[n] else array
                for n, array in arrays.items()
            },
        )


def _halve(array: Array, axes: list[int]) -> Array:
    cuts = [
        slice(-(-n // 2)) if axis in axes else slice(None) for axis, n in enumerate(array.shape)
    ]
    return array[tuple(cuts)]


# --- arrays of another type -----------------------------------------------------------------


def change_types(
    arrays: Mapping[str, Array], metadata: Metadata
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield a form of another floating type, which a model may take without a copy, or with one."""
    fixed = {item.name for item in metadata.inputs or () if item.type and item.type.dtype}
    real = {n: a for n, a in arrays.items() if n not in fixed and a.dtype.kind != "c"}
    if real:
        others = {n: a.astype("f8" if a.dtype == np.float32 else "f4") for n, a in real.items()}
        yield "the sample in another type", {**arrays, **others}


# --- values that are not arrays of numbers --------------------------------------------------


def vary(value: object) -> Iterator[object]:
    """Yield some other values of the same kind, each different in one place."""
    return islice(_vary(value), _MOST_OTHERS)


def _vary(value: object) -> Iterator[object]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from ({**value, key: other} for other in _vary(item))
    elif isinstance(value, (list, tuple)) and value:
        yield from ([other, *value[1:]] for other in _vary(value[0]))
        yield [*value, value[-1]]
    elif isinstance(value, np.ndarray):
        yield from _vary_first_element(value)
    else:
        yield from _vary_scalar(value)


def _vary_first_element(array: Array) -> Iterator[Array]:
    """Yield an array without axes, or of texts, with another first element."""
    if array.size:
        for other in _vary(array.reshape(-1)[:1].tolist()[0]):
            changed = array.astype(object if array.dtype.kind in "SUO" else array.dtype)
            changed.reshape(-1)[0] = other
            yield changed


def _vary_scalar(value: object) -> Iterator[object]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, (int, float)):
        yield from (value + 1, value - 1)
        if isinstance(value, float):
            yield value / 2 + 0.1  # stays between 0 and 1, where it was
    elif isinstance(value, bytes):
        yield value + b"a"
    elif isinstance(value, str):
        yield value + (value[-1:] or "a")
        yield value[:-1] or "a"
    elif value is None:
        yield True
    else:  # a list or an object with nothing in it
        yield {"a": 0} if isinstance(value, dict) else [0]
