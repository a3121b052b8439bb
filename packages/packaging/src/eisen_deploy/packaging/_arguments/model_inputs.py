"""How a model takes its inputs, seen without running it: by position, or by name only.

Inputs go to the model by position, in the order of ``model_input_list``. Those that it takes by
name alone get the value of that name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType, MethodType
from typing import Any

import torch

from .model_checks import Packable


@dataclass(frozen=True)
class Parameters:
    """What a model takes.

    :param positional: names of what it takes by position; empty where it has none.
    :param required: how many of these it needs.
    :param more: whether it takes any number by position.
    :param keywords: whether each that it takes by name only is needed.
    :param others: whether it takes other names as well.
    """

    positional: tuple[str, ...]
    required: int
    more: bool = False
    keywords: Mapping[str, bool] = field(default_factory=dict)
    others: bool = False


def find_parameters(model: Packable) -> Parameters | None:
    """Return what a model takes, or ``None`` if that cannot be seen."""
    if isinstance(model, torch.export.ExportedProgram):
        return _read_program(model)
    if isinstance(model, torch.jit.ScriptModule):
        forward: Any = model.forward
        return _read_schema(forward.schema)
    try:
        signature = inspect.signature(_find_called(model), follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    parameters = _read_signature(signature)
    if model._forward_pre_hooks:  # they may change what is passed  # noqa: SLF001
        return Parameters((), 0, more=True, keywords=dict.fromkeys(parameters.keywords, False))
    return parameters


def find_keywords(parameters: Parameters | None, names: Sequence[str] | None) -> list[str]:
    """Return the model's inputs that go by name.

    :param names: of the model's inputs in order, ``None`` where they are not declared.
    """
    if parameters is None or names is None:
        return []
    by_name = [name for name in names if name in parameters.keywords]
    if parameters.others and not parameters.more:
        rest = [name for name in names if name not in parameters.keywords]
        by_name += rest[len(parameters.positional) :]
    return by_name


def find_misfits(parameters: Parameters | None, names: Sequence[str] | None) -> Iterator[str]:
    """Yield why a model cannot be called with its inputs."""
    if parameters is None:
        return
    needed = [name for name, is_needed in parameters.keywords.items() if is_needed]
    if names is None:
        if needed or (parameters.others and not parameters.positional and not parameters.more):
            what = ", ".join(needed) or "inputs"
            yield f"model: it takes {what} by name only: declare model_input_list in the metadata"
        return
    missing = [name for name in needed if name not in names]
    if missing:
        yield (
            f"model: it needs {', '.join(missing)} by name, and the model's inputs are "
            f"{', '.join(names)}: pass model_input_list=[...] with the names that it takes"
        )
        return
    count = len(names) - len(find_keywords(parameters, names))
    if count < parameters.required or (count > len(parameters.positional) and not parameters.more):
        takes = f"{len(parameters.positional)} by position ({', '.join(parameters.positional)})"
        yield (
            f"model: it takes {takes if parameters.positional else 'nothing by position'}, "
            f"{parameters.required} of them needed, and gets {count} ({', '.join(names)}): pass "
            "model_input_list=[...] with what it takes, in that order"
        )


def find_likely_mistakes(
    parameters: Parameters | None, names: Sequence[str] | None
) -> Iterator[str]:
    """Yield what is likely a mistake: inputs with the name of one parameter that go to another."""
    by_name = find_keywords(parameters, names)
    by_position = [name for name in names or () if name not in by_name]
    positional = parameters.positional if parameters is not None else ()
    for name, parameter in zip(by_position, positional, strict=False):
        if name in positional and name != parameter:
            yield (
                f"model: the input {name} goes to the parameter {parameter}: inputs are passed in "
                "the order of model_input_list, not by their names"
            )


def _find_called(model: torch.nn.Module) -> Callable[..., object]:
    """Return the function that is given the inputs, without decorators of torch."""
    kind = type(model)
    own_call = kind.__call__ is not torch.nn.Module.__call__
    if own_call and not isinstance(model, torch.fx.GraphModule):
        return functools.partial(_strip_decorators(kind.__call__), model)
    forward = model.forward
    if isinstance(forward, MethodType):
        return functools.partial(_strip_decorators(forward.__func__), forward.__self__)
    return _strip_decorators(forward)


def _strip_decorators(function: Callable[..., object]) -> Callable[..., object]:
    """Return what such as ``@torch.no_grad()`` is around; others may change what is passed."""
    while isinstance(function, FunctionType) and hasattr(function, "__wrapped__"):
        if not str(function.__globals__.get("__name__", "")).startswith("torch."):
            break
        function = function.__wrapped__
    return function


def _read_signature(signature: inspect.Signature) -> Parameters:
    kinds = inspect.Parameter
    parameters = list(signature.parameters.values())
    positional = [
        each
        for each in parameters
        if each.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    return Parameters(
        tuple(each.name for each in positional),
        sum(each.default is kinds.empty for each in positional),
        any(each.kind is kinds.VAR_POSITIONAL for each in parameters),
        {
            each.name: each.default is kinds.empty
            for each in parameters
            if each.kind is kinds.KEYWORD_ONLY
        },
        any(each.kind is kinds.VAR_KEYWORD for each in parameters),
    )


def _read_schema(schema: torch.FunctionSchema) -> Parameters:
    arguments = schema.arguments[1:]  # the first is the module itself
    positional = [each for each in arguments if not each.kwarg_only]
    return Parameters(
        tuple(each.name for each in positional),
        sum(not each.has_default_value() for each in positional),
        keywords={each.name: not each.has_default_value() for each in arguments if each.kwarg_only},
    )


def _read_program(program: torch.export.ExportedProgram) -> Parameters | None:
    spec = program.call_spec.in_spec
    if spec is None:
        return None
    children = spec.children() if hasattr(spec, "children") else spec.children_specs
    positional, keywords = children
    names = tuple(f"input {index}" for index in range(positional.num_children))
    return Parameters(names, len(names), keywords=dict.fromkeys(keywords.context or (), True))
