"""Modules around modules, as training leaves them: what is inside is what a server runs."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any

import torch

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


def unwrapped(model: Any) -> tuple[Any, list[str]]:
    """Return the model inside of wrappers that answer as it does, and the names of these."""
    names = []
    while (attribute := _INSIDE.get(_name_of(type(model)))) and not _has_hooks(model):
        names.append(type(model).__name__)
        model = getattr(model, attribute)
    return model, names


def uncompiled(obj: Any) -> Any:
    """Return what :func:`torch.compile` was given, which cannot be pickled itself."""
    if type(obj) is FunctionType:
        return vars(obj).get("_torchdynamo_orig_callable", obj)
    is_module = isinstance(obj, torch.nn.Module) and _name_of(type(obj)) == _COMPILED
    return obj._orig_mod if is_module else obj  # noqa: SLF001


def compiled_names(model: torch.nn.Module) -> list[str]:
    """Return the paths of submodules that :func:`torch.compile` made; they travel uncompiled."""
    return [name for name, each in model.named_modules() if _name_of(type(each)) == _COMPILED]


def wrapper_problem(module: torch.nn.Module) -> str | None:
    """Say what is to be done with a wrapper that cannot travel; ``None`` for other modules."""
    for kind in type(module).__mro__:
        name = _name_of(kind)
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


def distributed_tensor(tensor: torch.Tensor) -> bool:
    """Whether a tensor is one process's share of a distributed one."""
    found = sys.modules.get("torch.distributed.tensor")
    return found is not None and isinstance(tensor, found.DTensor)


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _has_hooks(model: Any) -> bool:
    return bool(model._forward_hooks or model._forward_pre_hooks)  # noqa: SLF001
