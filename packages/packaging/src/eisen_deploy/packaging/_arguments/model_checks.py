"""What keeps a model from being packed, and what helps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch.nn.parameter import is_lazy

from eisen_deploy.packaging._pickles.torch_objects import explain_wrapper_problem, is_distributed

_MOST = 8
#: What can be packed; a ScriptModule is a Module as well.
Packable = torch.nn.Module | torch.export.ExportedProgram

_EXPECTED = "expected a torch.nn.Module, torch.jit.ScriptModule or torch.export.ExportedProgram"


def explain_no_model(model: object) -> str:
    """Say that something is not a model, and what to pass in its place."""
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    return ": ".join(filter(None, [f"model: {_EXPECTED}, got {name}", _suggest(model)]))


def _suggest(model: object) -> str:
    if isinstance(model, type):
        return "it is a class, pass an instance"
    if isinstance(model, Mapping):
        return _suggest_of_mapping(model)
    if isinstance(model, (str, os.PathLike)):
        return "it is a path, load the file and pass the module that it gives"
    if isinstance(model, (list, tuple)) and model:
        return "pack each by itself, or pass a torch.nn.Module whose forward calls them"
    for attribute in ("module", "model", "network", "net"):
        if isinstance(getattr(model, attribute, None), torch.nn.Module):
            return f"pass its attribute {attribute}"
    if callable(model):
        return "pass a torch.nn.Module whose forward calls it"
    return ""


def _suggest_of_mapping(model: Mapping[object, object]) -> str:
    for key, value in model.items():
        if isinstance(value, torch.nn.Module):
            return f"pass the module in it, under {key!r:.40}"
    if any(isinstance(value, Mapping) for value in model.values()):
        what = "a checkpoint"
    elif model and all(isinstance(value, torch.Tensor) for value in model.values()):
        what = "a state dict"
    else:
        return ""
    return f"it is {what}, make the module, fill it with load_state_dict, and pass it"


def find_problems(model: Packable) -> Iterator[str]:
    """Yield what keeps a model of a known form from being packed, each with a remedy."""
    if isinstance(model, torch.export.ExportedProgram):
        tensors = {**model.state_dict, **model.constants}
        yield from _find_missing_values(
            {name: each for name, each in tensors.items() if isinstance(each, torch.Tensor)}
        )
        return
    if problem := explain_wrapper_problem(model):
        yield f"model: {problem}"
        return
    for path, module in model.named_modules():
        if path and (problem := explain_wrapper_problem(module)):
            yield f"model.{path}: {problem}"
    yield from _find_uninitialized(model)
    yield from _find_missing_values(_name_tensors(model))
    yield from _find_missing_forward(model)


def find_training_modules(model: Packable) -> list[str]:
    """Return the submodules that are in training mode though the model is in evaluation mode."""
    if isinstance(model, torch.export.ExportedProgram) or getattr(model, "training", True):
        return []
    return [name for name, each in model.named_modules() if getattr(each, "training", False)]


def join_names(names: Sequence[str]) -> str:
    """Return names as a text that is not too long."""
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def _name_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _find_uninitialized(model: torch.nn.Module) -> Iterator[str]:
    lazy = [name for name, tensor in _name_tensors(model).items() if is_lazy(tensor)]
    layers = dict.fromkeys(name.rpartition(".")[0] or "model" for name in lazy)
    if layers:
        yield (
            f"model: {join_names([*layers])} never had an input and so no weights: run the model "
            "once before it is packed"
        )


def _find_missing_values(tensors: Mapping[str, torch.Tensor]) -> Iterator[str]:
    meta = [name for name, tensor in tensors.items() if not is_lazy(tensor) and tensor.is_meta]
    if meta:
        yield (
            f"model: {join_names(meta)} on the device meta, without values: load the weights "
            "(load_state_dict with assign=True) before it is packed"
        )
    shares = [name for name, tensor in tensors.items() if is_distributed(tensor)]
    if shares:
        yield (
            f"model: {join_names(shares)} shared out among processes: load the full state dict "
            "into the plain module, and pass that"
        )


def _find_missing_forward(model: torch.nn.Module) -> Iterator[str]:
    if isinstance(model, torch.jit.ScriptModule):
        if not hasattr(model, "forward"):
            yield "model: the ScriptModule has no forward: give it one before it is scripted"
        return
    kind = type(model)
    owner = next(each for each in kind.__mro__ if "forward" in vars(each))
    is_called = kind.__call__ is not torch.nn.Module.__call__
    bare = owner is torch.nn.Module or owner.__name__ == "LightningModule"
    if bare and not is_called and "forward" not in vars(model):
        inside = [name for name, _ in model.named_children()]
        hint = f", or pass what is in it (such as model.{inside[0]})" if inside else ""
        yield f"model: {kind.__name__} has no forward: give it one{hint}"
