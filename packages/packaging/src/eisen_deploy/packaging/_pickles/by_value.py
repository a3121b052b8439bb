"""How functions, classes, cells, enumerations and type variables of the script are written.

Each is made bare first and remembered, and gets what it consists of then: so it may refer to
itself, through its globals, a registry, a closure or its own attributes, in any way.
"""

from __future__ import annotations

import abc
import collections.abc
import copyreg
import enum
import functools
import inspect
import numbers
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any, NewType, ParamSpec, TypeVar

import dill
from torch.autograd.function import FunctionMeta

from eisen_deploy.packaging._capture import locate

from . import script_globals

if TYPE_CHECKING:
    from .pickling import Pickler

Reduced = tuple[Any, ...]

_HEAP_TYPE = 1 << 9
_MADE_BY = ("__init__", "__new__", "_generate_next_value_", "_missing_")
_SUBCLASS_HOOK = "__init_subclass__"
# What makes a class sets these; they depend on what has been done with the class, or on its file.
_OF_THE_MAKER = (
    "__dict__",
    "__weakref__",
    "__module__",
    "__slots__",
    "__slotnames__",
    "__orig_bases__",
    "__firstlineno__",
    "__static_attributes__",
    "__annotations_cache__",
    "_abc_impl",
    "_backward_cls",
)
_IN_FUNCTIONS = (
    "__defaults__",
    "__kwdefaults__",
    "__doc__",
    "__annotations__",
    "__type_params__",
)


def is_located(obj: Any) -> bool:
    """Whether a server that imports an object's module finds this very object in it."""
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str) or not locate.is_importable(module):
        return False
    found = sys.modules.get(module)
    for name in getattr(obj, "__qualname__", obj.__name__).split("."):
        found = getattr(found, name, None)
    return found is obj


def is_of_script(kind: type) -> bool:
    """Whether a class has to go by value: it is Python's own nowhere, and not to be imported."""
    is_made = bool(kind.__flags__ & _HEAP_TYPE) and kind not in dill._dill._typemap  # noqa: SLF001
    return is_made and not is_located(kind)


def _module_of(obj: Any) -> Any:
    """Return the module that something by value says it is from, once it is on a server."""
    module = obj.__module__
    return script_globals.name_on_server(module) if module in sys.modules else module


# --- functions ----------------------------------------------------------------------------


def save_function(pickler: Pickler, function: FunctionType) -> None:
    """Write a function: code and empty cells, then globals, attributes and what the cells hold."""
    cells = [cell for cell in function.__closure__ or () if not pickler.knows(cell)]
    for cell in cells:
        pickler.save_reduce(CellType, (), obj=cell)
        pickler.write(pickle.POP)
    pickler.graph.asks_for_subclasses |= script_globals.uses_name(
        function.__code__, "__subclasses__"
    )
    is_imported = script_globals.uses_its_module(function)
    space = pickler.graph.namespace_of(function.__globals__, is_imported=is_imported)
    make = dill._dill._create_function  # noqa: SLF001
    arguments = function.__code__, space.target, function.__name__, None, function.__closure__
    pickler.save_reduce(make, arguments, _state_of(function, space.target), obj=function)
    _put(pickler, space, space.take_name(function))
    _put(pickler, space, space.take(function))
    for module in space.reached_submodules(function):
        pickler.save(module)
        pickler.write(pickle.POP)
    for cell in cells:
        if not _is_empty(cell):
            pickler.run(setattr, cell, "cell_contents", cell.cell_contents)


def _put(pickler: Pickler, space: script_globals.Namespace, found: dict[str, Any]) -> None:
    if found:
        pickler.run(dill._dill._setitems, space.target, found)  # noqa: SLF001


def save_cell(pickler: Pickler, cell: CellType) -> None:
    """Write a cell that is reached in another way than through its function."""
    state = None if _is_empty(cell) else (None, {"cell_contents": cell.cell_contents})
    pickler.save_reduce(CellType, (), state, obj=cell)


def _is_empty(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def _state_of(function: FunctionType, space: Mapping[str, Any]) -> Any:
    found = {name: getattr(function, name, None) for name in _IN_FUNCTIONS}
    state = {name: value for name, value in found.items() if value}
    if function.__qualname__ != function.__name__:
        state["__qualname__"] = function.__qualname__
    if (module := _module_of(function)) != space.get("__name__"):
        state["__module__"] = module
    return (vars(function) or None, state) if state or vars(function) else None


# --- classes ------------------------------------------------------------------------------


def save_class(pickler: Pickler, kind: type) -> None:
    """Write a class: bare, then its attributes.

    Base classes and metaclasses of the script do not take notice of it: what they did with it, such
    as entering it into a registry, is in what they hold.
    """
    make, arguments = _maker_of(kind)
    pickler.save(arguments)  # base classes may lead here once more
    pickler.write(pickle.POP)
    if pickler.knows(kind):
        pickler.save(kind)
        return
    hooks = [base for base in kind.__mro__[1:] if id(base) in pickler.graph.hooked]
    for base in hooks:
        pickler.run(delattr, base, _SUBCLASS_HOOK)
    pickler.save_reduce(make, arguments, obj=kind)
    pickler.graph.classes.append(kind)
    if (module := sys.modules.get(kind.__module__)) and not locate.is_importable(kind.__module__):
        space = pickler.graph.namespace_of(vars(module))
        _put(pickler, space, space.take_name(kind))
    for base in hooks:
        pickler.run(setattr, base, _SUBCLASS_HOOK, vars(base)[_SUBCLASS_HOOK])
    put = setattr if type(kind).__setattr__ is type.__setattr__ else type.__setattr__
    for name, value in _attributes_of(kind):
        pickler.run(put, kind, name, value)
    for base, registered in [*_registered_in(kind), *_registered_with(kind)]:
        pickler.run(abc.ABCMeta.register, base, registered)
    if _SUBCLASS_HOOK in vars(kind):
        pickler.graph.hooked.add(id(kind))
        pickler.run(put, kind, _SUBCLASS_HOOK, vars(kind)[_SUBCLASS_HOOK])


def save_subclasses(pickler: Pickler) -> None:
    """Write the subclasses that only ``__subclasses__()`` leads to, if some code asks for them."""
    if pickler.graph.asks_for_subclasses:
        for kind in pickler.graph.classes:  # it grows meanwhile
            below: list[type] = type.__subclasses__(kind)
            for each in below:
                if is_of_script(each) and not pickler.knows(each):
                    pickler.save(each)
                    pickler.write(pickle.POP)


def _maker_of(kind: type) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    own = vars(kind)
    names = {"__module__": _module_of(kind), "__qualname__": kind.__qualname__}
    names |= {name: own[name] for name in ("__slots__", "__orig_bases__") if name in own}
    meta = type(kind)
    arguments = kind.__name__, kind.__bases__, names
    if meta is FunctionMeta or not any(_makes_classes(each) for each in inspect.getmro(meta)):
        return meta, arguments
    make = abc.ABCMeta.__new__ if issubclass(meta, abc.ABCMeta) else type.__new__
    return make, (meta, *arguments)


def _makes_classes(meta: type) -> bool:
    """Whether a metaclass has its own way, in Python, to make a class."""
    own = (vars(meta).get(name) for name in ("__new__", "__init__", "__call__"))
    return meta is not abc.ABCMeta and any(
        isinstance(getattr(each, "__func__", each), FunctionType) for each in own
    )


def _attributes_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the attributes to be set: code first, since other values may need it at once."""
    found = {
        name: value
        for name, value in vars(kind).items()
        if name not in _OF_THE_MAKER and name != _SUBCLASS_HOOK and not _is_slot(kind, value)
    }
    if found.get("__doc__", "") is None:
        del found["__doc__"]
    code = (FunctionType, staticmethod, classmethod, property)
    yield from ((name, value) for name, value in found.items() if isinstance(value, code))
    yield from ((name, value) for name, value in found.items() if not isinstance(value, code))


def _is_slot(kind: type, value: object) -> bool:
    slots = (MemberDescriptorType, GetSetDescriptorType)
    return isinstance(value, slots) and value.__objclass__ is kind


def _registered_in(kind: type) -> list[tuple[type, type]]:
    """Return the virtual subclasses of an abstract class, each with that."""
    if not isinstance(kind, abc.ABCMeta):
        return []
    registry = abc._get_dump(kind)[0]  # type: ignore[attr-defined] # noqa: SLF001
    alive = [found for ref in registry if (found := ref()) is not None]
    return [(kind, each) for each in sorted(alive, key=lambda it: (it.__module__, it.__qualname__))]


def _registered_with(kind: type) -> Iterator[tuple[type, type]]:
    """Yield the abstract classes of Python whose virtual subclass a class is, each with it."""
    for name in (*collections.abc.__all__, *numbers.__all__):
        base = getattr(collections.abc, name, None) or getattr(numbers, name)
        yield from (pair for pair in _registered_in(base) if pair[1] is kind)


# --- instances, enumerations and type variables -------------------------------------------


def reduced(obj: Any) -> Reduced | None:
    """Return what ``pickle`` needs to make an object anew, if this module is about it.

    :returns: its maker, arguments, and its state; ``None`` for any other object.
    :raises pickle.PicklingError: for an enumeration whose members are not their values alone.
    """
    if isinstance(obj, enum.EnumMeta) and not is_located(obj):
        return _reduced_enum(obj)
    if type(obj) is TypeVar and not locate.is_importable(obj.__module__):
        return _reduced_variable(obj)
    kind = type(obj)
    if isinstance(obj, BaseException) and _takes_others(kind):
        made: Any = obj.__reduce__()
        _, args, *state = made
        return copyreg.__newobj__, (kind, *args), *state  # type: ignore[attr-defined]
    if kind in (NewType, ParamSpec) and not locate.is_importable(obj.__module__):
        return _reduced_name(obj)
    if type(kind.__new__) is FunctionType and not isinstance(obj, type) and is_of_script(kind):
        return _reduced_instance(obj, kind)
    return None


def _takes_others(kind: type[BaseException]) -> bool:
    """Whether an exception is made of other arguments than it keeps, as ``pickle`` takes it."""
    is_plain = (
        kind.__reduce__ is BaseException.__reduce__ and type(kind.__new__) is not FunctionType
    )
    return is_plain and type(kind.__init__) is FunctionType


def _reduced_instance(obj: Any, kind: type) -> Reduced | None:
    """Have an object made without ``__new__`` of the script, which may hand out one that is there.

    What that did with the object is in what the class holds.
    """
    plain: list[Any] = [object.__reduce_ex__, object.__reduce__]
    if [kind.__reduce_ex__, kind.__reduce__] != plain:
        return None
    _, _, *state = obj.__reduce_ex__(2)
    base = next(each for each in kind.__mro__ if type(each.__new__) is not FunctionType)
    content = base.__getnewargs__(obj) if hasattr(base, "__getnewargs__") else ()
    return base.__new__, (kind, *content), *state


def fills_itself(kind: type) -> bool:
    """Whether a list or dict has its own way to take items, which may need its attributes."""
    own = [getattr(kind, name, None) for name in ("__setitem__", "append", "extend")]
    is_made_by_base = FunctionType not in (type(kind.__reduce__), type(kind.__reduce_ex__))
    is_own = any(type(each) is FunctionType for each in own)
    return is_made_by_base and is_own and issubclass(kind, (list, dict))


def fill(pickler: Pickler, made: Any, items: Any, pairs: Any = None, *_: Any) -> None:
    """Have a list or dict that is made take its items, without the code of its class."""
    if items:
        pickler.run(list.extend, made, list(items))
    base = OrderedDict if isinstance(made, OrderedDict) else dict
    for key, value in pairs or ():
        pickler.run(base.__setitem__, made, key, value)


def _reduced_name(obj: Any) -> Reduced:
    more = (obj.__supertype__,) if type(obj) is NewType else ()
    return type(obj), (obj.__name__, *more)


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
        module=_module_of(kind),
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
