"""How instances, enumerations, exceptions and type variables of the script are made anew."""

from __future__ import annotations

import copyreg
import enum
import functools
import pickle
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, NewType, ParamSpec, TypeVar

from eisen_deploy.packaging._capture.module_search import is_importable

from . import Reduced
from .definitions import goes_by_value, is_found_by_name, name_module_on_server

if TYPE_CHECKING:
    from .pickler import Pickler

_MADE_BY = ("__init__", "__new__", "_generate_next_value_", "_missing_")


def reduce_instance(obj: object) -> Reduced | None:
    """Return what ``pickle`` needs to make an object anew, if this module is about it.

    :returns: ``None`` for any other object.
    :raises pickle.PicklingError: for an enumeration whose members are not their values alone.
    """
    if isinstance(obj, enum.EnumMeta) and not is_found_by_name(obj):
        return _reduce_enum(obj)
    if type(obj) is TypeVar and not is_importable(obj.__module__):
        return _reduce_variable(obj)
    if isinstance(obj, BaseException) and _takes_other_arguments(type(obj)):
        made: Any = obj.__reduce__()
        _, args, *state = made
        return copyreg.__newobj__, (type(obj), *args), *state  # type: ignore[attr-defined]
    if type(obj) is NewType and not is_importable(obj.__module__):
        return NewType, (obj.__name__, obj.__supertype__)
    if type(obj) is ParamSpec and not is_importable(obj.__module__):
        return ParamSpec, (obj.__name__,)
    kind = type(obj)
    if type(kind.__new__) is FunctionType and not isinstance(obj, type) and goes_by_value(kind):
        return _reduce_without_new(obj, kind)
    return None


def _takes_other_arguments(kind: type[BaseException]) -> bool:
    """Whether an exception is made of other arguments than it keeps, as ``pickle`` takes it."""
    is_plain = (
        kind.__reduce__ is BaseException.__reduce__ and type(kind.__new__) is not FunctionType
    )
    return is_plain and type(kind.__init__) is FunctionType


def _reduce_without_new(obj: object, kind: type) -> Reduced | None:
    """Have an object made without ``__new__`` of the script, which may hand out one that is there.

    What that did with the object is in what the class holds.
    """
    own: list[object] = [kind.__reduce_ex__, kind.__reduce__]
    if own != [object.__reduce_ex__, object.__reduce__]:
        return None
    made: Any = obj.__reduce_ex__(2)
    _, _, *state = made
    base = next(each for each in kind.__mro__ if type(each.__new__) is not FunctionType)
    content = base.__getnewargs__(obj) if hasattr(base, "__getnewargs__") else ()
    return base.__new__, (kind, *content), *state


def fills_itself(kind: type) -> bool:
    """Whether a list or dict has its own way to take items, which may need its attributes."""
    own = [getattr(kind, name, None) for name in ("__setitem__", "append", "extend")]
    is_made_by_base = FunctionType not in (type(kind.__reduce__), type(kind.__reduce_ex__))
    is_own = any(type(each) is FunctionType for each in own)
    return is_made_by_base and is_own and issubclass(kind, (list, dict))


def fill(
    pickler: Pickler,
    made: object,
    items: Iterable[object] | None,
    pairs: Iterable[tuple[object, object]] | None,
) -> None:
    """Have a list or dict that is made take its items, without the code of its class."""
    if items:
        pickler.run(list.extend, made, list(items))
    base = OrderedDict if isinstance(made, OrderedDict) else dict
    for key, value in pairs or ():
        pickler.run(base.__setitem__, made, key, value)


def _reduce_variable(variable: TypeVar) -> Reduced:
    make = functools.partial(
        TypeVar,
        variable.__name__,
        *variable.__constraints__,
        bound=variable.__bound__,
        covariant=variable.__covariant__,
        contravariant=variable.__contravariant__,
    )
    return make, (), None


def _reduce_enum(kind: enum.EnumMeta) -> Reduced:
    own = {name: value for name, value in vars(kind).items() if _is_written(kind, value)}
    found = sorted(set(_MADE_BY) & set(own))
    *mixins, base = kind.__bases__
    if found or len(mixins) > 1:
        what = f"{', '.join(found)} of its own" if found else "several base classes"
        raise pickle.PicklingError(
            f"the enumeration {kind.__qualname__} has {what}: move it from {kind.__module__} "
            "to a module that can be imported"
        )
    members: Mapping[str, enum.Enum] = kind.__members__
    make = functools.partial(
        base,
        kind.__name__,
        [(name, member.value) for name, member in members.items()],
        module=name_module_on_server(kind),
        qualname=kind.__qualname__,
        type=mixins[0] if mixins else None,
    )
    return make, (), (None, own) if own else None


def _is_written(kind: enum.EnumMeta, value: object) -> bool:
    """Whether an attribute is code that stands in the class; enum itself adds many."""
    if isinstance(value, property):
        value = value.fget
    function = getattr(value, "__func__", value)
    return isinstance(function, FunctionType) and function.__module__ == kind.__module__
