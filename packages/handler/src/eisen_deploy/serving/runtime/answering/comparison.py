"""Outputs held against the recorded ones.

Equal is, with the tolerance that was recorded:

================================  ==============================================================
value                             equal if
================================  ==============================================================
floats, complex numbers by parts  the largest difference is at most the tolerance, times the
                                  largest finite number expected where that is more than 1;
                                  NaN and infinities stand in the same places
arrays of integers and bool       the share of elements that differ is at most the tolerance
everything else                   it is the same; lists and dicts item by item
================================  ==============================================================

Names, dtypes and shapes are always the same. Texts from here hold no values but differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np

from .._shared.wire.datatypes import Array
from ..errors import Difference

T = TypeVar("T")

_MOST_ROWS = 50
_BLOCK = 2**20  # elements compared at a time, as double precision


def compare(
    expected: Mapping[str, object], got: Mapping[str, object], tolerance: float
) -> list[Difference]:
    """Return what differs between two sets of outputs; the module's text says what is equal.

    :param tolerance: 0 asks for the very same values.
    :returns: the first differences, at most 50.
    """
    return list(islice(_compare_dicts("", expected, got, tolerance), _MOST_ROWS))


def format_table(differences: Sequence[Difference]) -> str:
    """Return differences as an aligned table in text, with a head and no newline at its end."""
    rows = [("name", "expected", "got", "maximal difference"), *differences]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _compare_dicts(
    prefix: str, expected: Mapping[str, object], got: Mapping[str, object], tolerance: float
) -> Iterator[Difference]:
    for name in [*expected, *(name for name in got if name not in expected)]:
        path = f"{prefix}.{name}" if prefix else name
        if name not in got:
            yield Difference(path, _describe(expected[name]), "nothing", "-")
        elif name not in expected:
            yield Difference(path, "nothing", _describe(got[name]), "-")
        else:
            yield from _compare_values(path, expected[name], got[name], tolerance)


def _compare_values(
    path: str, expected: object, got: object, tolerance: float
) -> Iterator[Difference]:
    what = _describe(expected), _describe(got)
    if type(expected) is not type(got):
        yield Difference(path, *what, "another type")
    elif isinstance(expected, dict) and isinstance(got, dict):
        yield from _compare_dicts(path, expected, got, tolerance)
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _compare_values(f"{path}[{index}]", one, other, tolerance)
    elif isinstance(expected, (float, np.ndarray)):
        difference = _compare_arrays(np.asarray(expected), np.asarray(got), tolerance)
        if difference:
            yield Difference(path, *what, difference)
    elif expected != got:
        yield Difference(path, *what, "another length" if what[0] != what[1] else "another value")


def _describe(value: object) -> str:
    if isinstance(value, np.ndarray):
        kind = "str or bytes" if value.dtype.hasobject else value.dtype.name
        return f"{kind} {list(value.shape)}"
    if isinstance(value, (str, list, dict)):
        return f"{type(value).__name__} of {len(value)}"
    return "null" if value is None else type(value).__name__


def _compare_arrays(expected: Array, got: Array, tolerance: float) -> str | None:
    if expected.shape != got.shape:
        return "another shape"
    if expected.dtype != got.dtype:
        return "another dtype"
    compare_as = _compare_floats if expected.dtype.kind in "fc" else _compare_elements
    return compare_as(_flatten(expected), _flatten(got), tolerance)


def _flatten(array: Array) -> Array:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(f"f{flat.itemsize // 2}") if flat.dtype.kind == "c" else flat


def _compare_elements(expected: Array, got: Array, tolerance: float) -> str | None:
    differ = sum(_measure_blocks(lambda one, other: np.count_nonzero(one != other), expected, got))
    allowed = 0 if expected.dtype.hasobject else tolerance * expected.size
    return f"{differ} of {expected.size} elements" if differ > allowed else None


def _compare_floats(expected: Array, got: Array, tolerance: float) -> str | None:
    stray, largest, scale = 0, 0.0, 1.0
    for strays, difference, size in _measure_blocks(_measure_floats, expected, got):
        stray, largest, scale = stray + strays, max(largest, difference), max(scale, size)
    if stray:
        return f"NaN or infinity in {stray} other places"
    return f"{largest:.6g}" if not largest <= tolerance * scale else None


def _measure_floats(expected: Array, got: Array) -> tuple[int, float, float]:
    """Return how many NaN or infinities have no equal, the largest difference and number else."""
    one, other = expected.astype(np.float64), got.astype(np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    finite = np.isfinite(one) & np.isfinite(other)
    stray = np.count_nonzero(~finite & ~same)
    with np.errstate(over="ignore"):
        difference = np.abs(one[finite] - other[finite]).max(initial=0)
    return int(stray), float(difference), float(np.abs(one[np.isfinite(one)]).max(initial=0))


def _measure_blocks(measure: Callable[[Array, Array], T], one: Array, other: Array) -> Iterator[T]:
    for start in range(0, one.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        yield measure(one[block], other[block])
