"""What a model gives, by name and as numpy arrays.

=============================================  ===================================================
a model's output                               taken as
=============================================  ===================================================
tensor                                         a numpy array
bfloat16, 8 bit floats, quantised              float32
half complex                                   complex64
sparse of any layout, MKL-DNN                  a dense array
nested, with parts of one shape                one array, the parts on axis 0
tensor subclass that holds its own values      a numpy array, without what else it carries
list, tuple                                    a list
mapping, dataclass, named tuple, attrs class,  a dict of its fields
``SimpleNamespace``
=============================================  ===================================================

Everything else that is a tensor is refused by the name of the output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from .._shared.wire.datatypes import NUMPY_OF_NAME, Array
from ..errors import InvalidOutput, ModelFailed

_AS_IN_NUMPY = frozenset(getattr(torch, name) for name in NUMPY_OF_NAME)
_WITH_OWN_VALUES = (torch.Tensor, torch.nn.Parameter)
_AS_THEY_ARE = frozenset((np.ndarray, float, int, str, bool, bytes, type(None)))
_MOST_NAMES = 8


class _HasNoForm(Exception):
    """A tensor cannot be an array; the text says why and what helps."""


def name_outputs(result: object, names: Sequence[str] | None) -> dict[str, object]:
    """Return what a model gave by name, arrays as numpy.

    :param result: a tensor, a tuple or list of values by position, or fields by name.
    :param names: ``model_output_list``; where it is not declared, fields keep their names, one
        value is ``output``, several are ``output_0``, ``output_1``, ... A named tuple goes by
        position where the names are not those of its fields.
    :raises ModelFailed: if the outputs do not fit the names.
    :raises InvalidOutput: if one of them has no form as an array.
    """
    values = list(result) if isinstance(result, (tuple, list)) else None
    fields = read_fields(result)
    if fields is not None and not (values and names and not fields.keys() >= set(names)):
        return _name_by_fields(fields, names)
    if names is None:
        names = ["output"] if values is None else [f"output_{i}" for i in range(len(values))]
    values = [result] if values is None else values
    if len(names) != len(values):
        raise ModelFailed(
            f"the model gave {len(values)} outputs, model_output_list names {len(names)}: "
            + ", ".join(names)
        )
    return {name: to_numpy(value, name) for name, value in zip(names, values, strict=True)}


def _name_by_fields(fields: Mapping[str, object], names: Sequence[str] | None) -> dict[str, object]:
    missing = [name for name in names or () if name not in fields]
    if missing:
        given = [f"{name!s:.40}" for name in [*fields][:_MOST_NAMES]]
        raise ModelFailed(
            f"the model gives {', '.join(given) or 'an empty dict'} by name and no "
            f"{', '.join(missing)}: pass model_output_list={given}, or those of them that are "
            "needed, and have post_processing give what the metadata declares besides"
        )
    return {name: to_numpy(fields[name], name) for name in (fields if names is None else names)}


def read_fields(value: object) -> Mapping[str, object] | None:
    """Return the fields of a value by name; ``None`` for one that has none."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        return None if names is None else dict(zip(names, value, strict=True))
    if isinstance(value, SimpleNamespace):
        return vars(value)
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        names = [field.name for field in getattr(value, "__attrs_attrs__", ())]
    return {name: getattr(value, name) for name in names if hasattr(value, name)} or None


def to_numpy(value: object, name: str = "output") -> object:
    """Return a value with each tensor in it as a numpy array; the module's text says how.

    :param name: of the output, as an error names it.
    :raises InvalidOutput: if a tensor has no form as an array.
    """
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, torch.Tensor):
        return _to_array(value, name)
    fields = read_fields(value)
    if fields is not None:
        return {key: to_numpy(item, f"{name}.{key!s:.40}") for key, item in fields.items()}
    return [to_numpy(item, name) for item in value] if isinstance(value, (list, tuple)) else value


def widen(value: object, half: torch.dtype) -> object:
    """Return a value with each tensor of a half type in it as float32, its fields as they are."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype is half else value
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(widen(item, half) for item in value)
    if isinstance(value, (list, tuple)):
        return [widen(item, half) for item in value]
    fields = read_fields(value)
    return value if fields is None else {key: widen(item, half) for key, item in fields.items()}


def _to_array(value: torch.Tensor, name: str) -> Array:
    if _is_as_in_numpy(value):
        return value.numpy(force=True)
    try:
        return _to_dense(value.detach()).numpy(force=True)
    except (_HasNoForm, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate" in str(error):
            raise
        reason = str(error) if isinstance(error, _HasNoForm) else "which has no form as an array"
        raise InvalidOutput(f"{name}: the output is {_describe(value)}, {reason}") from error


def _is_as_in_numpy(value: torch.Tensor) -> bool:
    return (
        value.dtype in _AS_IN_NUMPY
        and value.layout is torch.strided
        and type(value) in _WITH_OWN_VALUES
        and not value.is_nested
        and not value.is_meta
    )


def _to_dense(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor as a dense one of a type that numpy has."""
    if hasattr(tensor, "__tensor_flatten__"):
        raise _HasNoForm("whose values are in other tensors: give these")
    if type(tensor) is not torch.Tensor:
        tensor = tensor.as_subclass(torch.Tensor)
    if tensor.is_meta:
        raise _HasNoForm("which has no values: the model has layers on the meta device")
    if tensor.is_nested:
        return _stack(tensor)
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.dtype not in _AS_IN_NUMPY:
        tensor = _to_known_type(tensor)
    return tensor


def _stack(tensor: torch.Tensor) -> torch.Tensor:
    parts = [_to_dense(part) for part in tensor.unbind()]
    if len({part.shape for part in parts}) > 1:
        raise _HasNoForm(
            "whose parts differ in shape: pad it (torch.nested.to_padded_tensor), or give a list"
        )
    return torch.stack(parts) if parts else tensor.new_empty(0)


def _to_known_type(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex64)
    if tensor.is_floating_point() and not str(tensor.dtype).endswith("_x2"):  # two in a byte
        return tensor.to(torch.float32)
    raise _HasNoForm("of a type that numpy does not have: convert it in forward")


def _describe(tensor: torch.Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    layout = "" if tensor.layout is torch.strided else f" {tensor.layout}".replace("torch.", "")
    nested = " nested" if tensor.is_nested else ""
    return f"a{nested}{layout} {type(tensor).__name__} of {kind}"


def copy_arrays(value: Any) -> Any:
    """Return a value whose arrays, also those in lists and dicts, are copies.

    Objects of other classes stay as they are; the proof has found whether that does harm.
    """
    if type(value) is np.ndarray:
        return value.copy()
    if type(value) is torch.Tensor:
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(map(copy_arrays, value))
    if type(value) is dict:
        return {name: copy_arrays(item) for name, item in value.items()}
    return value
