"""What of torch does not pickle by itself as a server needs it.

==================================  =============================================================
object                              pickled as
==================================  =============================================================
tensor                              itself, with what is used of its storage: :mod:`._tensors`
script module, script function      its own file: :mod:`._torchscript`
what :func:`torch.compile` made     what that was given; ``serving={"compile": True}`` is for
                                    servers
wrapper of distributed training     refused
layer that never had an input       refused
==================================  =============================================================
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from . import torchscript
from .tensors import Reduced
from .wrappers import wrapper_problem

_SCRIPTS = (torch.jit.ScriptModule, torch.jit.ScriptFunction)


def reduced(obj: Any, of_tensor: Callable[[torch.Tensor], Reduced] | None) -> Reduced | None:
    """Return what ``pickle`` needs to make an object anew, if this module is about it.

    :param of_tensor: gives that of a tensor.
    :raises pickle.PicklingError: if the object cannot travel.
    """
    if isinstance(obj, torch.Tensor):
        if is_lazy(obj):
            raise pickle.PicklingError(
                "a layer never had an input and so has no weights: run the model once before"
            )
        return of_tensor(obj) if of_tensor is not None else None
    if isinstance(obj, _SCRIPTS):
        return torchscript.reduced(obj)
    if isinstance(obj, torch.nn.Module):
        problem = wrapper_problem(obj) or _parametrization_problem(obj)
        if problem:
            raise pickle.PicklingError(problem)
    return None


def _parametrization_problem(module: torch.nn.Module) -> str | None:
    found = torch.nn.utils.parametrize.is_parametrized(module)
    if not found:
        return None
    names = ", ".join(f"'{name}'" for name in module.parametrizations)  # type: ignore[union-attr]
    return (
        f"{names} parametrized, and torch does not pickle that: call "
        f"torch.nn.utils.parametrize.remove_parametrizations(module, {names.split(',')[0]}) "
        "first, which keeps the weights as they are now, or pack torch.export.export of the model"
    )
