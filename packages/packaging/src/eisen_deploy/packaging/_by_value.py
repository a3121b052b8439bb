"""What of ``__main__`` :mod:`dill` leaves there: enumerations and type variables."""

from __future__ import annotations

import enum
import functools
import pickle
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, TypeVar

from ._capture import locate

Reduced = tuple[Callable[[], Any], tuple[()], Any]

_MADE_BY = ("__init__", "__new__", "_generate_next_value_", "_missing_")


def reduced(obj: Any) -> Reduced | None:
    """Return what ``pickle`` needs to make an object anew, if this module is about it.

    :returns: its maker, no arguments, and its state; ``None`` for any other object.
    :raises pickle.PicklingError: for an enumeration whose members are not their values alone.
    """
    if isinstance(obj, enum.EnumMeta) and not _is_importable(obj):
        return _reduced_enum(obj)
    if type(obj) is TypeVar and not locate.is_importable(obj.__module__):
        return _reduced_variable(obj)
    return None


def _is_importable(kind: type) -> bool:
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind and locate.is_importable(kind.__module__)


def _reduced_variable(variable: TypeVar) -> Reduced:
    make = functools.partial(
        TypeVar,
        variable.__name__,
        *variable.__constraints__,
        bound=variable.__bound__,
        covariant=variable.__covariant__,
        contravariant=variable.__contravariant__,
    )
    return make, (), None


def _reduced_enum(kind: enum.EnumMeta) -> Reduced:
    own = {name: value for name, value in vars(kind).items() if _is_written(kind, value)}
    found = sorted(set(_MADE_BY) & set(own))
    *mixins, base = kind.__bases__
    if found or len(mixins) > 1:
        what = f"{', '.join(found)} of its own" if found else "several base classes"
        raise pickle.PicklingError(
            f"the enumeration {kind.__qualname__} has {what}: move it from {kind.__module__} "
            "to a module that can be imported"
        )
    members: Mapping[str, Any] = kind.__members__
    make = functools.partial(
        base,
        kind.__name__,
        [(name, member.value) for name, member in members.items()],
        module=kind.__module__,
        qualname=kind.__qualname__,
        type=mixins[0] if mixins else None,
    )
    return make, (), (None, own) if own else None


def _is_written(kind: enum.EnumMeta, value: Any) -> bool:
    """Whether an attribute is code that stands in the class; enum itself adds many."""
    if isinstance(value, property):
        value = value.fget
    function = getattr(value, "__func__", value)
    return isinstance(function, FunctionType) and function.__module__ == kind.__module__
