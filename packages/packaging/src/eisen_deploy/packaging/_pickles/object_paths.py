"""Where in a model or transform an object is, in words: the way that the pickler went to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import CellType, FunctionType

import torch

_STEPS = 3


def describe_path(above: Sequence[object]) -> str:
    """Say where the last of nested objects is, such as ``" (at attribute lock of Scale)"``.

    :param above: each object inside the one before it.
    """
    steps = [*list(_describe_steps(above))[-_STEPS:], *_find_submodule(above)]
    return f" (at {', '.join(reversed(steps))})" if steps else ""


def _find_submodule(above: Sequence[object]) -> Iterator[str]:
    """Yield the path in the model of the innermost module that leads to the last object."""
    modules = [each for each in above if isinstance(each, torch.nn.Module)]
    names = {id(each): name for name, each in modules[0].named_modules()} if modules else {}
    inner = next((names[id(each)] for each in reversed(modules) if id(each) in names), "")
    if inner:
        yield f"in the submodule {inner}"


def _describe_steps(above: Sequence[object]) -> Iterator[str]:
    owner: object = None
    for holder, inner in pairwise(above):
        if isinstance(holder, dict):
            key = next((key for key, value in holder.items() if value is inner), None)
            if isinstance(key, str):
                yield _describe_item(owner, holder, key)
            owner = None
        elif isinstance(holder, tuple) and len(holder) == 3 and holder[2] is inner:
            yield from _describe_assignment(owner, *holder[:2])
        elif not isinstance(holder, (tuple, list)):
            owner = holder


def _describe_item(owner: object, holder: dict[object, object], key: str) -> str:
    if isinstance(owner, FunctionType) and holder is not vars(owner):
        return f"{key}, which {owner.__qualname__} uses"
    if owner is None:
        return f"item {key!r}"
    kind = owner if isinstance(owner, type) else type(owner)
    return f"attribute {key} of {kind.__qualname__}"


def _describe_assignment(owner: object, target: object, name: object) -> Iterator[str]:
    if isinstance(target, type):
        yield f"attribute {name} of the class {target.__qualname__}"
    elif isinstance(target, CellType) and isinstance(owner, FunctionType):
        cells = zip(owner.__code__.co_freevars, owner.__closure__ or (), strict=True)
        yield from (
            f"{each}, which {owner.__qualname__} uses" for each, cell in cells if cell is target
        )
