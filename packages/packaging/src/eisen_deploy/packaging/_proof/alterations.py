"""What a sample is altered to, for the proof of batches.

Arrays of numbers are altered all at once, so that they still go together. Each other value is
altered for itself: a transform may refuse what another one of them becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from eisen_deploy.serving.runtime._shared.model.metadata import Metadata

Array = np.ndarray[Any, Any]

_MOST_OTHERS = 8

# --- an array of at least one row, to one of the same type and the same axes ----------------


def _first(array: Array, _: np.random.Generator) -> Array:
    return array[:1]


def _last(array: Array, _: np.random.Generator) -> Array:
    return array[-1:]


def _as_is(array: Array, _: np.random.Generator) -> Array:
    return array


def _repeated(array: Array, _: np.random.Generator) -> Array:
    return np.asarray(np.concatenate([array, array]))


def _rolled(array: Array, _: np.random.Generator) -> Array:
    return np.roll(array, 1, axis=-1)


def _flipped(array: Array, _: np.random.Generator) -> Array:
    return np.asarray(np.flip(array, -1)) if array.ndim > 1 else array


def _scaled(array: Array, _: np.random.Generator) -> Array:
    return np.asarray(array * -3, array.dtype) if array.dtype.kind in "fc" else array


def _enlarged(array: Array, _: np.random.Generator) -> Array:
    return np.asarray(array * 100, array.dtype) if array.dtype.kind in "fc" else array


def _zeros(array: Array, _: np.random.Generator) -> Array:
    return np.zeros_like(array)


def _shuffled(array: Array, numbers: np.random.Generator) -> Array:
    mixed: Array = numbers.permutation(array.reshape(-1)).reshape(array.shape)
    return mixed


def _noise(array: Array, numbers: np.random.Generator) -> Array:
    if array.dtype.kind == "f" and array.size:
        noise = numbers.standard_normal(array.shape) * (array.std() or 1) + array.mean()
        return np.asarray(noise, array.dtype)
    if array.dtype.kind in "biu" and array.size:  # of one value, it would stay what it is
        return _numbers_between(int(array.min()), int(array.max()), array, numbers)
    return _shuffled(array, numbers)


def _numbers_between(low: int, high: int, array: Array, numbers: np.random.Generator) -> Array:
    most = 1 if array.dtype.kind == "b" else int(np.iinfo(array.dtype).max)
    if low == high:
        low, high = (low, high + 1) if high < most else (low - 1, high)
    drawn = numbers.integers(low, high, array.shape, array.dtype, endpoint=True)
    return np.asarray(drawn)


def _not_a_number(array: Array, _: np.random.Generator) -> Array:
    changed: Array = array.copy()
    if array.dtype.kind in "fc":
        changed.reshape(-1)[:1] = np.nan
    return changed


ALTERATIONS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "the sample": _as_is,
    "zeros": _zeros,
    "noise": _noise,
    "the sample scaled by -3": _scaled,
    "the sample rolled": _rolled,
    "the sample twice": _repeated,
    "its first row": _first,
    "its last row": _last,
    "the sample flipped": _flipped,
    "the sample scaled by 100": _enlarged,
    "the sample shuffled": _shuffled,
    "the sample with a NaN": _not_a_number,
}


# --- arrays of other sizes ------------------------------------------------------------------


def resized(
    arrays: Mapping[str, Array], metadata: Metadata
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield forms that differ in the sizes that the metadata leaves free, but for axis 0."""
    free = {
        item.name: [axis for axis, size in enumerate(item.shape or ()) if axis and size == -1]
        for item in metadata.inputs or ()
    }
    axes = {name: free.get(name, []) for name in arrays}
    if any(axes.values()):
        yield "half the sample", {n: _half(array, axes[n]) for n, array in arrays.items()}
        yield (
            "the sample beside itself",
            {
                n: np.concatenate([array] * 2, axes[n][-1]) if axes[n] else array
                for n, array in arrays.items()
            },
        )


def _half(array: Array, axes: list[int]) -> Array:
    cuts = [
        slice(-(-n // 2)) if axis in axes else slice(None) for axis, n in enumerate(array.shape)
    ]
    return array[tuple(cuts)]


# --- arrays of another type -----------------------------------------------------------------


def retyped(
    arrays: Mapping[str, Array], metadata: Metadata
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield a form of another floating type, which a model may take without a copy, or with one."""
    fixed = {item.name for item in metadata.inputs or () if item.type and item.type.dtype}
    real = {n: a for n, a in arrays.items() if n not in fixed and a.dtype.kind != "c"}
    if real:
        others = {n: a.astype("f8" if a.dtype == np.float32 else "f4") for n, a in real.items()}
        yield "the sample in another type", {**arrays, **others}


# --- values that are no arrays of numbers ---------------------------------------------------


def others(value: Any) -> Iterator[Any]:
    """Yield some other values of the same kind, each different in one place."""
    return islice(_others(value), _MOST_OTHERS)


def _others(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from ({**value, key: other} for other in _others(item))
    elif isinstance(value, (list, tuple)) and value:
        yield from ([other, *value[1:]] for other in _others(value[0]))
        yield [*value, value[-1]]
    elif isinstance(value, np.ndarray):
        yield from _other_arrays(value)
    else:
        yield from _other_scalars(value)


def _other_arrays(array: Array) -> Iterator[Array]:
    """Yield an array without axes, or of texts, with another first element."""
    if array.size:
        for other in _others(array.reshape(-1)[:1].tolist()[0]):
            changed = array.astype(object if array.dtype.kind in "SUO" else array.dtype)
            changed.reshape(-1)[0] = other
            yield changed


def _other_scalars(value: Any) -> Iterator[Any]:
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
