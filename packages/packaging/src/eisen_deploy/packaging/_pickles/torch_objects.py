"""What of torch does not pickle by itself as a server needs it.

==================================  =============================================================
object                              pickled as
==================================  =============================================================
tensor                              itself, with what is used of its storage: :mod:`.memory`
script module, script function      its own file: :mod:`.torchscript`
what :func:`torch.compile` made     what that was given; ``serving={"compile": True}`` is for
                                    servers
wrapper of distributed training     refused, unless it is around the whole model
layer that never had an input       refused
==================================  =============================================================
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from types import FunctionType

import torch
from torch.nn.parameter import is_lazy

from . import Reduced, torchscript

_COMPILED = "torch._dynamo.eval_frame.OptimizedModule"
# By name: the modules that define these take long to import, and need not be there.
_INSIDE = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
    _COMPILED: "_orig_mod",
}
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")
_TRAVELS = ("torch.optim.swa_utils.AveragedModel", _COMPILED)


def reduce_torch_object(
    obj: object, reduce_tensor: Callable[[torch.Tensor], Reduced] | None
) -> Reduced | None:
    """Return what ``pickle`` needs to make an object anew, if this module is about it.

    :param reduce_tensor: returns that of a tensor.
    :raises pickle.PicklingError: if the object cannot travel.
    """
    if isinstance(obj, torch.Tensor):
        if is_lazy(obj):
            raise pickle.PicklingError(
                "a layer never had an input and so has no weights: run the model once before"
            )
        return None if reduce_tensor is None else reduce_tensor(obj)
    if isinstance(obj, torchscript.Script):
        return torchscript.reduce_script(obj)
    if isinstance(obj, torch.nn.Module):
        problem = explain_wrapper_problem(obj) or _explain_parametrization(obj)
        if problem:
            raise pickle.PicklingError(problem)
    return None


def _explain_parametrization(module: torch.nn.Module) -> str | None:
    if not torch.nn.utils.parametrize.is_parametrized(module):
        return None
    names = ", ".join(f"'{name}'" for name in module.parametrizations)  # type: ignore[union-attr]
    return (
        f"{names} parametrized, and torch does not pickle that: call "
        f"torch.nn.utils.parametrize.remove_parametrizations(module, {names.split(',')[0]}) "
        "first, which keeps the weights as they are now, or pack torch.export.export of the model"
    )


def unwrap(model: object) -> tuple[object, list[str]]:
    """Return the model inside of wrappers that answer as it does, and the names of these."""
    names = []
    while (attribute := _INSIDE.get(_get_full_name(type(model)))) and not _has_hooks(model):
        names.append(type(model).__name__)
        model = getattr(model, attribute)
    return model, names


def undo_compile(obj: object) -> object:
    """Return what :func:`torch.compile` was given, which cannot be pickled itself."""
    if type(obj) is FunctionType:
        return vars(obj).get("_torchdynamo_orig_callable", obj)
    if isinstance(obj, torch.nn.Module) and _get_full_name(type(obj)) == _COMPILED:
        return obj._orig_mod  # noqa: SLF001
    return obj


def find_compiled_submodules(model: torch.nn.Module) -> list[str]:
    """Return the paths of submodules that :func:`torch.compile` made; they travel uncompiled."""
    return [name for name, each in model.named_modules() if _get_full_name(type(each)) == _COMPILED]


def explain_wrapper_problem(module: torch.nn.Module) -> str | None:
    """Say what is to be done with a wrapper that cannot travel; ``None`` for other modules."""
    for kind in type(module).__mro__:
        name = _get_full_name(kind)
        if kind.__name__ in _SHARDED and name.startswith("torch."):
            return (
                f"{type(module).__name__} holds one process's share of the weights: load the full "
                "state dict into the plain module, and pass that"
            )
        if name in _INSIDE and name not in _TRAVELS:
            return (
                f"{type(module).__name__} wraps a module for training: put what is in its "
                f"attribute {_INSIDE[name]} in its place"
            )
    return None


def is_distributed(tensor: torch.Tensor) -> bool:
    """Whether a tensor is one process's share of a distributed one."""
    found = sys.modules.get("torch.distributed.tensor")
    return found is not None and isinstance(tensor, found.DTensor)


def _get_full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _has_hooks(model: object) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    return any(getattr(model, name) for name in hooks)
