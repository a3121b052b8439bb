"""The model behind one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from .._shared.model.metadata import Metadata
from ..errors import InvalidInput
from .outputs import widen

# Types of weights that inputs are given; 8 bit floats only store.
_COMPUTES_IN = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# Of long doubles, which torch does not know.
_SHORTER = {"g": np.dtype(np.float64), "G": np.dtype(np.complex128)}


class Model:
    """A loaded module on its device.

    :param module: called with tensors on ``device``; its modes are set.
    :param precision: ``float32`` runs the module in its own type; ``float16`` and ``bfloat16``
        run it under autocast, and what it then gives in that type is made ``float32``.
    :param keywords: names of the arguments that it takes by name, by their position.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        device: torch.device,
        precision: str = "float32",
        keywords: Mapping[int, str] | None = None,
    ) -> None:
        self.module = module
        self.device = device
        self.keywords = keywords or {}
        self.dtype = _find_floating_dtype(module)
        self.half = None if precision == "float32" else getattr(torch, precision)
        self._autocast()  # refuses what the device cannot do, while the model loads

    def __call__(self, arguments: Sequence[object]) -> object:
        """Run the module on arguments that lie on any device.

        No gradients are kept, but a module may ask for them itself (``torch.enable_grad``); in
        inference mode it could not.
        """
        placed = [
            each.to(self.device) if isinstance(each, torch.Tensor) else each for each in arguments
        ]
        named = {name: placed[index] for index, name in self.keywords.items()}
        if named:
            placed = [each for index, each in enumerate(placed) if index not in self.keywords]
        with torch.no_grad(), self._autocast():
            result = self.module(*placed, **named)
        return result if self.half is None else widen(result, self.half)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.half is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.half)

    def prepare_argument(self, name: str, value: object, metadata: Metadata) -> object:
        """Return a value of the batch as the model takes it.

        An array becomes a tensor. It gets the model's own floating dtype if it is of another, or
        if it is declared as ``ndarray`` with no dtype; with a dtype in its type string it stays
        what pre-processing made of it, but for floats where the string asks for integers. What
        is not an array of numbers stays what it is.

        :raises InvalidInput: if a finite number is infinite in the model's type.
        """
        tensor = as_tensor(value)
        if tensor is None:
            return value
        declared = metadata.input_type(name)
        wanted = declared.dtype if declared is not None else None
        if tensor.is_floating_point():
            cast = wanted is None or wanted.kind not in "fc"
        else:
            is_array = declared is not None and declared.kind == "ndarray"
            cast = is_array and wanted is None and not tensor.is_complex()
        return _cast(name, tensor, self.dtype) if cast and self.dtype is not None else tensor


def find_keyword_positions(names: Sequence[str] | None, keywords: Sequence[str]) -> dict[int, str]:
    """Return where among the model's inputs those stand that it takes by name.

    :param names: of the model's inputs in order, as the metadata declares them.
    :param keywords: what an archive says is taken by name.
    """
    return {index: name for index, name in enumerate(names or ()) if name in keywords}


def shares_memory(value: object, arguments: Sequence[object]) -> bool:
    """Whether an array may lie in the memory of one of a model's arguments."""
    return isinstance(value, np.ndarray) and any(
        isinstance(each, torch.Tensor)
        and each.device.type == "cpu"
        and np.may_share_memory(value, each.detach().numpy())
        for each in arguments
    )


def _cast(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    cast = tensor.to(dtype)
    if _largest_number(tensor.dtype) > _largest_number(dtype) and bool(
        (cast.isinf() & ~tensor.isinf()).any()
    ):
        kind = str(dtype).removeprefix("torch.")
        raise InvalidInput([f"{name}: holds a number out of the range of the model's {kind}"])
    return cast


def _largest_number(dtype: torch.dtype) -> float:
    """Return the largest number of a type."""
    if dtype is torch.bool:
        return 1
    return (torch.finfo if dtype.is_floating_point else torch.iinfo)(dtype).max


def as_tensor(value: object) -> torch.Tensor | None:
    """Return an array of numbers as a tensor, in the same memory if torch can; else ``None``."""
    if isinstance(value, torch.Tensor):
        return value
    array = np.asarray(value) if isinstance(value, np.generic) else value
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biufc":
        return None
    # torch shares memory with numpy, but knows neither read-only nor negative strides.
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    known = _SHORTER.get(array.dtype.char) or array.dtype.newbyteorder("=")
    return torch.from_numpy(array.astype(known, copy=False))


def _find_floating_dtype(module: torch.nn.Module) -> torch.dtype | None:
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.dtype in _COMPUTES_IN:
            return tensor.dtype
    return None
