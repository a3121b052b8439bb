"""The model behind one call: arrays in by position, arrays out by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from ._shared.metadata import Metadata
from .errors import ModelFailed


class Model:
    """A loaded module on its device.

    :param module: called with tensors on ``device``; already in evaluation mode.
    :param precision: ``float32`` runs the module in its own type; ``float16`` and ``bfloat16``
        run it under autocast, and what it then gives in that type is made ``float32``.
    """

    def __init__(
        self, module: torch.nn.Module, device: torch.device, precision: str = "float32"
    ) -> None:
        self.module = module
        self.device = device
        self.dtype = _floating_dtype(module)
        self.half = None if precision == "float32" else getattr(torch, precision)
        self._autocast()  # refuses what the device cannot do, while the model loads

    def __call__(self, arguments: Sequence[Any]) -> Any:
        """Run the module, with no gradients, on arguments that lie on any device."""
        placed = [self._place(argument) for argument in arguments]
        with torch.inference_mode(), self._autocast():
            result = self.module(*placed)
        return result if self.half is None else _widened(result, self.half)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.half is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.half)

    def _place(self, argument: Any) -> Any:
        return argument.to(self.device) if isinstance(argument, torch.Tensor) else argument

    def argument(self, name: str, value: Any, metadata: Metadata) -> Any:
        """Return a value of the batch as the model takes it.

        An array becomes a tensor. It gets the model's own floating dtype if it is of another, or
        if it is declared as ``ndarray`` with no dtype; with a dtype in its type string it stays
        what pre-processing made of it, but for floats where the string asks for integers. What
        is no array of numbers stays what it is.
        """
        tensor = _as_tensor(value)
        if tensor is None:
            return value
        declared = metadata.type_of(name)
        wanted = declared.dtype if declared is not None else None
        if tensor.is_floating_point():
            cast = wanted is None or wanted.kind not in "fc"
        else:
            is_array = declared is not None and declared.kind == "ndarray"
            cast = is_array and wanted is None and not tensor.is_complex()
        return tensor.to(self.dtype) if cast and self.dtype is not None else tensor


def name_outputs(result: Any, names: Sequence[str] | None) -> dict[str, Any]:
    """Return what a model gave by name, arrays as numpy.

    :param result: a tensor, a tuple or list of values by position, or a dict by name.
    :param names: ``model_output_list``; where it is not declared, a dict keeps its names, one
        value is ``output``, several are ``output_0``, ``output_1``, ...
    :raises ModelFailed: if the outputs do not fit the names.
    """
    if isinstance(result, Mapping):
        return _from_mapping(result, names)
    several = isinstance(result, (tuple, list))
    values = list(result) if several else [result]
    if names is None:
        names = [f"output_{i}" for i in range(len(values))] if several else ["output"]
    if len(names) != len(values):
        raise ModelFailed(
            f"the model gave {len(values)} outputs, model_output_list names {len(names)}: "
            + ", ".join(names)
        )
    return {name: to_numpy(value) for name, value in zip(names, values, strict=True)}


def _from_mapping(result: Mapping[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    missing = [name for name in names or () if name not in result]
    if missing:
        raise ModelFailed(
            f"the model gave no output {', '.join(missing)}, which model_output_list names"
        )
    return {name: to_numpy(result[name]) for name in (result if names is None else names)}


def to_numpy(value: Any) -> Any:
    """Return a value with each tensor in it, also in lists and dicts, as a numpy array.

    bfloat16, which numpy does not have, becomes float32.
    """
    if isinstance(value, torch.Tensor):
        tensor = value.detach().as_subclass(torch.Tensor).cpu().resolve_conj().resolve_neg()
        return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
    if isinstance(value, (list, tuple)):
        return [to_numpy(item) for item in value]
    if isinstance(value, dict):
        return {name: to_numpy(item) for name, item in value.items()}
    return value


def shares_memory(value: Any, arguments: Sequence[Any]) -> bool:
    """Whether an array may lie in the memory of one of a model's arguments."""
    return isinstance(value, np.ndarray) and any(
        isinstance(each, torch.Tensor)
        and each.device.type == "cpu"
        and np.may_share_memory(value, each.detach().numpy())
        for each in arguments
    )


def _widened(value: Any, half: torch.dtype) -> Any:
    """Return a value with each tensor of a half type in it, also in lists and dicts, as float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype is half else value
    if isinstance(value, (list, tuple)):
        return [_widened(item, half) for item in value]
    if isinstance(value, Mapping):
        return {name: _widened(item, half) for name, item in value.items()}
    return value


def _as_tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        return None
    # torch shares memory with numpy, but knows neither read-only nor negative strides.
    if not value.flags.writeable or any(stride < 0 for stride in value.strides):
        value = value.copy()
    return torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=False))


def _floating_dtype(module: torch.nn.Module) -> torch.dtype | None:
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            return tensor.dtype
    return None
