"""The metadata dict as value objects, and a batch checked against it.

The convention is that of ``create_metadata``: ``inputs`` and ``outputs`` are lists of
``{"name", "type", "shape"}``, ``model_input_list`` and ``model_output_list`` are lists of names.
Metadata may be any JSON object, so whatever does not follow the convention counts as not
declared: it is passed through and not checked.

A type is ``ndarray``, ``str``, ``list``, ``json``, ``int``, ``float`` or ``bool``; an array may ask
for its element type, ``ndarray[int64]``. In a shape, -1 is a free size. An entry with
``"finite": true`` takes neither NaN nor infinity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import strictjson, tensors
from .datatypes import NUMPY_OF_NAME, Array, DType
from .errors import ContractError, InvalidInput

_ARRAY_NAMES = ("ndarray", "np.ndarray", "numpy.ndarray", "nd.array")
_VALUE_NAMES = ("str", "list", "json", "int", "float", "bool")
_TYPE = re.compile(r"\s*([\w.]+)\s*(?:\[\s*(\w+)\s*\])?\s*")

TYPE_HELP = (
    f"one of {', '.join((_ARRAY_NAMES[0], *_VALUE_NAMES))}, or ndarray[dtype] with dtype one of "
    + ", ".join(NUMPY_OF_NAME)
)


@dataclass(frozen=True)
class ValueType:
    """A type string, read: its kind, and for an array the element type that it asks for."""

    kind: str
    dtype: DType | None = None

    @classmethod
    def parse(cls, text: str) -> ValueType | None:
        """Read a type string; ``None`` if it is not of the convention."""
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

    :param type: ``None`` where it is not of the convention: any value will do.
    :param shape: sizes, -1 for a free one; ``None`` where no shape is declared.
    """

    name: str
    type: ValueType | None = None
    shape: tuple[int, ...] | None = None
    finite: bool = False

    @classmethod
    def parse(cls, raw: Any) -> Field | None:
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
    def free_first_axis(self) -> bool:
        """Whether it is an array whose axis 0, the batch axis, may have any size."""
        is_array = self.type is not None and self.type.kind == "ndarray"
        return is_array and bool(self.shape) and self.shape is not None and self.shape[0] == -1

    def conform(self, value: Any) -> Any:
        """Return the value as the declared type, converted where that loses nothing.

        :raises InvalidInput: if it goes against the declaration.
        """
        if self.type is None:
            return _undeclared(value)
        if self.type.kind == "ndarray":
            return self._conform_array(value)
        value = _conform_plain(self.type.kind, self.name, value)
        if isinstance(value, float) and (problems := self._finite_problems(np.asarray(value))):
            raise InvalidInput(problems)
        return value

    def _conform_array(self, value: Any) -> Array:
        array = self._to_array(value)
        problems = self._dtype_problems(array)
        problems += self._shape_problems(array.shape)
        problems += self._finite_problems(array)
        if problems:
            raise InvalidInput(problems)
        return self._cast(array)

    def _to_array(self, value: Any) -> Array:
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
        except Exception as error:  # noqa: BLE001 - a stranger's __array__ may raise anything
            raise InvalidInput(
                f"{self.name}: expected {self.type}, came {type(value).__name__} that could not "
                f"be read as an array ({type(error).__name__})"
            ) from None
        raise InvalidInput(f"{self.name}: expected {self.type}, came {type(value).__name__}")

    def _dtype_problems(self, array: Array) -> list[str]:
        wanted = self.type.dtype if self.type is not None else None
        if wanted is None or array.dtype == wanted or _fits(array, wanted):
            return []
        return [f"{self.name}: expected {self.type}, came {array.dtype}"]

    def _shape_problems(self, shape: tuple[int, ...]) -> list[str]:
        wanted = self.shape
        if wanted is None:
            return []
        same = len(wanted) == len(shape) and all(w in (-1, size) for w, size in zip(wanted, shape))
        return [] if same else [f"{self.name}: expected shape {list(wanted)}, came {list(shape)}"]

    def _finite_problems(self, array: Array) -> list[str]:
        if not self.finite or array.dtype.kind not in "fc" or np.isfinite(array).all():
            return []
        return [f"{self.name}: must be finite, came with NaN or infinity"]

    def _cast(self, array: Array) -> Array:
        wanted = self.type.dtype if self.type is not None else None
        if wanted is None or array.dtype == wanted:
            return array
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(wanted)
        if cast.itemsize < array.itemsize and np.isinf(cast).sum() > np.isinf(array).sum():
            raise InvalidInput(f"{self.name}: holds a number out of the range of {wanted.name}")
        return cast


def _fits(array: Array, wanted: DType) -> bool:
    """Whether every value of the array is one of the wanted type; floats may be rounded.

    By the types alone where possible; integers also by their values, since JSON and numpy give
    int64 for whatever a user typed.
    """
    kind = array.dtype.kind
    if kind not in "iu" or wanted.kind not in "iufc":
        rounded = kind == wanted.kind and kind in "fc"
        return rounded or np.can_cast(array.dtype, wanted, "safe")
    low, high = _exact_integers(wanted)
    own_low, own_high = _exact_integers(array.dtype)
    if (low <= own_low and own_high <= high) or not array.size:
        return True
    return low <= int(array.min()) and int(array.max()) <= high


def _exact_integers(dtype: DType) -> tuple[int, int]:
    """Return the ends of the range of integers that a type holds exactly."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    end = 2 ** (int(np.finfo(dtype).nmant) + 1)
    return -end, end


def _conform_plain(kind: str, name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = _from_array(kind, name, value)
    if kind == "json":
        return value
    allowed: dict[str, tuple[type, ...]] = {
        "str": (str, np.ndarray),
        "list": (list, tuple),
        "int": (int,),
        "float": (float, int),
        "bool": (bool,),
    }
    strays = isinstance(value, bool) and kind != "bool"
    texts = kind == "str" and isinstance(value, list) and all(type(v) is str for v in value)
    if strays or not (texts or isinstance(value, allowed[kind])):
        raise InvalidInput(f"{name}: expected {kind}, came {type(value).__name__}")
    try:
        return float(value) if kind == "float" else value
    except OverflowError:
        raise InvalidInput(f"{name}: holds a number out of the range of a double") from None


def _from_array(kind: str, name: str, array: Array) -> Any:
    """Read an array where a plain value is declared: other clients know only tensors."""
    items = array.reshape(-1).tolist()
    try:
        items = [item.decode("utf-8") if type(item) is bytes else item for item in items]
    except UnicodeDecodeError:
        raise InvalidInput(f"{name}: expected {kind}, came bytes that are not UTF-8") from None
    if kind == "list" or len(items) != 1:
        decoded = np.empty(len(items), dtype=object)
        for index, item in enumerate(items):  # one by one: numpy would take lists apart
            decoded[index] = item
        is_text = kind == "str" and all(type(item) is str for item in items)
        whole = decoded.reshape(array.shape)
        return whole if is_text else whole.tolist()
    if kind == "json" and type(items[0]) is str:
        try:
            return strictjson.loads(items[0].encode("utf-8"), name)
        except ContractError as error:
            raise InvalidInput(error.problems) from None
    return items[0]


@dataclass(frozen=True)
class Metadata:
    """What a model says of itself; ``None`` stands for what is not declared."""

    inputs: tuple[Field, ...] | None = None
    outputs: tuple[Field, ...] | None = None
    model_inputs: tuple[str, ...] | None = None
    model_outputs: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Metadata:
        """Read a metadata dict; never fails, see the module's text."""
        inputs, outputs = _fields(raw.get("inputs")), _fields(raw.get("outputs"))
        model_inputs = _names(raw.get("model_input_list"))
        model_outputs = _names(raw.get("model_output_list"))
        if model_inputs is None and inputs is not None:
            model_inputs = tuple(item.name for item in inputs)
        if model_outputs is None and outputs is not None:
            model_outputs = tuple(item.name for item in outputs)
        return cls(inputs, outputs, model_inputs, model_outputs)

    @property
    def batchable(self) -> bool:
        """Whether requests may share one forward pass: axis 0 of every array input is free."""
        return bool(self.inputs) and all(item.free_first_axis for item in self.inputs or ())

    def type_of(self, name: str) -> ValueType | None:
        """Return the declared type of an input, if it has one."""
        return next((item.type for item in self.inputs or () if item.name == name), None)

    def conform(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch as the declared inputs, converted where that loses nothing.

        :param batch: one request's inputs by name.
        :raises InvalidInput: with every problem of the batch, not only the first.
        """
        if self.inputs is None:
            return {name: _undeclared(value) for name, value in batch.items()}
        problems, conformed = [], {}
        for item in self.inputs:
            if item.name not in batch:
                problems.append(f"{item.name}: is missing, expected {item.type or 'a value'}")
                continue
            try:
                conformed[item.name] = item.conform(batch[item.name])
            except InvalidInput as error:
                problems.extend(error.problems)
        known = {item.name: item for item in self.inputs}
        strays = [name for name in batch if name not in known]
        problems += [
            f"{name!s:.40}: is not an input of the model, which takes {', '.join(known)}"
            for name in strays[:8]
        ]
        if problems:
            raise InvalidInput(problems)
        return conformed


def _undeclared(value: Any) -> Any:
    """Numbers in lists become an array, as a model needs them; all else stays what it is."""
    if isinstance(value, list):
        try:
            array = tensors.guess_array(value, "")
        except ContractError:
            return value
        return array if array.dtype.kind in "biuf" and array.size else value
    return value


def _fields(raw: Any) -> tuple[Field, ...] | None:
    if not isinstance(raw, (list, tuple)) or not raw:
        return None
    fields = [Field.parse(item) for item in raw]
    known = [item for item in fields if item is not None]
    return tuple(known) if len(known) == len(fields) else None


def _names(raw: Any) -> tuple[str, ...] | None:
    if not isinstance(raw, (list, tuple)) or not all(isinstance(name, str) for name in raw):
        return None
    return tuple(raw) or None
