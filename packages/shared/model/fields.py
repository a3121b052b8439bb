"""One declared input or output: its name, type and shape, and the check of a value against them.

A type is ``ndarray``, ``str``, ``list``, ``json``, ``int``, ``float`` or ``bool``; an array may ask
for its element type, ``ndarray[int64]``. In a shape, -1 is a free size. An entry with
``"finite": true`` takes neither NaN nor infinity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import ContractError, InvalidInput
from ..wire import tensors
from ..wire.allowance import UNLIMITED, Allowance
from ..wire.datatypes import NUMPY_OF_NAME, Array, DType, exact_integers
from .plain_values import conform_plain

_ARRAY_NAMES = ("ndarray", "np.ndarray", "numpy.ndarray", "nd.array")
_VALUE_NAMES = ("str", "list", "json", "int", "float", "bool")
_TYPE = re.compile(r"\s*([\w.]+)\s*(?:\[\s*(\w+)\s*\])?\s*")

TYPE_HELP = (
    f"one of {', '.join((_ARRAY_NAMES[0], *_VALUE_NAMES))}, or ndarray[dtype] with dtype one of "
    + ", ".join(NUMPY_OF_NAME)
)


@dataclass(frozen=True)
class ValueType:
    """A parsed type string: its kind, and for an array the element type that it asks for."""

    kind: str
    dtype: DType | None = None

    @classmethod
    def parse(cls, text: str) -> ValueType | None:
        """Read a type string; ``None`` if it does not follow the convention."""
        match = _TYPE.fullmatch(text)
        if match is None:
            return None
        kind, dtype = match.groups()
        if kind in _ARRAY_NAMES and (dtype is None or dtype in NUMPY_OF_NAME):
            return cls("ndarray", None if dtype is None else NUMPY_OF_NAME[dtype])
        return cls(kind) if kind in _VALUE_NAMES and dtype is None else None

    def __str__(self) -> str:
        return self.kind if self.dtype is None else f"{self.kind}[{self.dtype.name}]"


@dataclass(frozen=True)
class Field:
    """One declared input or output.

    :param type: ``None`` where the type string does not follow the convention: any value will do.
    :param shape: sizes, -1 for a free one; ``None`` where no shape is declared.
    """

    name: str
    type: ValueType | None = None
    shape: tuple[int, ...] | None = None
    finite: bool = False

    @classmethod
    def parse(cls, raw: object) -> Field | None:
        """Read an entry; ``None`` if it has no name."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("name"), str):
            return None
        kind, shape = raw.get("type"), raw.get("shape")
        is_shape = isinstance(shape, (list, tuple)) and all(
            type(size) is int and size >= -1 for size in shape
        )
        return cls(
            raw["name"],
            ValueType.parse(kind) if isinstance(kind, str) else None,
            tuple(shape) if is_shape and shape is not None else None,
            raw.get("finite") is True,
        )

    @property
    def is_array(self) -> bool:
        """Whether it is declared as an array."""
        return self.type is not None and self.type.kind == "ndarray"

    @property
    def has_free_first_axis(self) -> bool:
        """Whether axis 0, the batch axis, is declared and may have any size."""
        return self.shape is not None and self.shape[:1] == (-1,)

    def conform(self, value: object, allowance: Allowance = UNLIMITED) -> object:
        """Return the value as the declared type, converted where that loses nothing.

        :param allowance: what converted values may take.
        :raises InvalidInput: if it goes against the declaration.
        :raises BodyTooLarge: if it takes more than is allowed.
        """
        if self.type is None:
            return convert_undeclared(value)
        if self.is_array:
            return self._conform_array(value, allowance)
        value = conform_plain(self.type.kind, self.name, value, allowance)
        if isinstance(value, float) and (problems := self._finite_problems(np.asarray(value))):
            raise InvalidInput(problems)
        return value

    def _conform_array(self, value: object, allowance: Allowance) -> Array:
        array = self._read_array(value)
        problems = self._dtype_problems(array)
        problems += self._shape_problems(array.shape)
        problems += self._finite_problems(array)
        if problems:
            raise InvalidInput(problems)
        return self._cast(array, allowance)

    def _read_array(self, value: object) -> Array:
        if isinstance(value, np.ndarray):
            return value
        plain = isinstance(value, (bool, int, float, list)) and not isinstance(value, np.generic)
        try:
            if plain:
                return tensors.guess_array(value, self.name)
            if isinstance(value, np.generic) or hasattr(value, "__array__"):
                return np.asarray(value)
        except ContractError as error:
            raise InvalidInput(error.problems) from None
        except Exception as error:  # noqa: BLE001 - an unknown class's __array__ may raise anything
            raise InvalidInput(
                f"{self.name}: expected {self.type}, got {type(value).__name__} that could not "
                f"be read as an array ({type(error).__name__})"
            ) from None
        raise InvalidInput(f"{self.name}: expected {self.type}, got {type(value).__name__}")

    def _dtype_problems(self, array: Array) -> list[str]:
        wanted = self.type.dtype if self.type is not None else None
        if wanted is None or array.dtype == wanted or _holds_exactly(array, wanted):
            return []
        return [f"{self.name}: expected {self.type}, got {array.dtype}"]

    def _shape_problems(self, shape: tuple[int, ...]) -> list[str]:
        wanted = self.shape
        if wanted is None:
            return []
        same = len(wanted) == len(shape) and all(w in (-1, size) for w, size in zip(wanted, shape))
        return [] if same else [f"{self.name}: expected shape {list(wanted)}, got {list(shape)}"]

    def _finite_problems(self, array: Array) -> list[str]:
        if not self.finite or array.dtype.kind not in "fc" or np.isfinite(array).all():
            return []
        return [f"{self.name}: must be finite, got NaN or infinity"]

    def _cast(self, array: Array, allowance: Allowance) -> Array:
        wanted = self.type.dtype if self.type is not None else None
        if wanted is None or array.dtype == wanted:
            return array
        allowance.take_array(
            array.size * wanted.itemsize, self.name, f"send {self.name} as {wanted.name}"
        )
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(wanted)
        if cast.itemsize < array.itemsize and np.isinf(cast).sum() > np.isinf(array).sum():
            raise InvalidInput(f"{self.name}: holds a number out of the range of {wanted.name}")
        return cast


def _holds_exactly(array: Array, wanted: DType) -> bool:
    """Whether every value of the array is one of the wanted type; floats may be rounded.

    The types alone decide where possible. Integers are also compared by value, since JSON and
    numpy make int64 of every integer that a user types.
    """
    kind = array.dtype.kind
    if kind not in "iu" or wanted.kind not in "iufc":
        rounded = kind == wanted.kind and kind in "fc"
        return rounded or np.can_cast(array.dtype, wanted, "safe")
    low, high = exact_integers(wanted)
    own_low, own_high = exact_integers(array.dtype)
    if (low <= own_low and own_high <= high) or not array.size:
        return True
    return low <= int(array.min()) and int(array.max()) <= high


def convert_undeclared(value: object) -> object:
    """Return a value of no declared type; numbers in lists become an array, as models need them."""
    if not isinstance(value, list):
        return value
    try:
        array = tensors.guess_array(value, "")
    except ContractError:
        return value
    return array if array.dtype.kind in "biuf" and array.size else value
