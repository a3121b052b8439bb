"""How functions, cells, classes and modules of the script are written.

Each is made bare first and remembered, and gets what it consists of then: so it may refer to
itself, through its globals, a registry, a closure or its own attributes, in any way.
"""

from __future__ import annotations

import abc
import collections.abc
import importlib
import inspect
import numbers
import operator
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CellType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING

import dill
from torch.autograd.function import FunctionMeta

from eisen_deploy.packaging._capture.module_search import is_importable

from . import script_globals

if TYPE_CHECKING:
    from .pickler import Pickler

_HEAP_TYPE = 1 << 9
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
_IN_FUNCTIONS = ("__defaults__", "__kwdefaults__", "__doc__", "__annotations__", "__type_params__")


def is_found_by_name(obj: type | FunctionType) -> bool:
    """Whether a server that imports an object's module finds this very object in it."""
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str) or not is_importable(module):
        return False
    found: object = sys.modules.get(module)
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def goes_by_value(kind: type) -> bool:
    """Whether a class has to go by value: Python code made it, and no server can import it."""
    is_made = bool(kind.__flags__ & _HEAP_TYPE) and kind not in dill._dill._typemap  # noqa: SLF001
    return is_made and not is_found_by_name(kind)


def name_module_on_server(obj: object) -> str:
    """Return the name of the module that something by value is from, once it is on a server."""
    module = obj.__module__
    return script_globals.rename_for_server(module) if module in sys.modules else module


# --- functions ----------------------------------------------------------------------------


def save_function(pickler: Pickler, function: FunctionType) -> None:
    """Write a function: code and empty cells, then globals, attributes and what the cells hold."""
    cells = [cell for cell in function.__closure__ or () if not pickler.knows(cell)]
    for cell in cells:
        pickler.save_reduce(CellType, (), obj=cell)
        pickler.write(pickle.POP)
    if script_globals.uses_name(function.__code__, "__subclasses__"):
        pickler.graph.asks_for_subclasses = True
    is_imported = script_globals.uses_its_module(function)
    space = pickler.graph.get_namespace(function.__globals__, is_imported=is_imported)
    make = dill._dill._create_function  # noqa: SLF001
    arguments = function.__code__, space.target, function.__name__, None, function.__closure__
    pickler.save_reduce(make, arguments, _collect_state(function, space.target), obj=function)
    _put(pickler, space, space.take_name(function))
    _put(pickler, space, space.take(function))
    for module in space.find_reached_submodules(function):
        pickler.save(module)
        pickler.write(pickle.POP)
    for cell in cells:
        if not _is_empty(cell):
            pickler.run(setattr, cell, "cell_contents", cell.cell_contents)


def _put(pickler: Pickler, space: script_globals.Namespace, found: dict[str, object]) -> None:
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


def _collect_state(
    function: FunctionType, space: Mapping[str, object]
) -> tuple[dict[str, object] | None, dict[str, object]] | None:
    found = {name: getattr(function, name, None) for name in _IN_FUNCTIONS}
    state = {name: value for name, value in found.items() if value}
    if function.__qualname__ != function.__name__:
        state["__qualname__"] = function.__qualname__
    if (module := name_module_on_server(function)) != space.get("__name__"):
        state["__module__"] = module
    return (vars(function) or None, state) if state or vars(function) else None


# --- classes ------------------------------------------------------------------------------


def save_class(pickler: Pickler, kind: type) -> None:
    """Write a class: bare, then its attributes.

    Code of its base classes and metaclasses does not run again: what it did with the class, such as
    entering it into a registry, is in what they hold.
    """
    make, arguments = _find_maker(kind)
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
    if (module := sys.modules.get(kind.__module__)) and not is_importable(kind.__module__):
        space = pickler.graph.get_namespace(vars(module))
        _put(pickler, space, space.take_name(kind))
    for base in hooks:
        pickler.run(setattr, base, _SUBCLASS_HOOK, vars(base)[_SUBCLASS_HOOK])
    put = setattr if type(kind).__setattr__ is type.__setattr__ else type.__setattr__
    for name, value in _list_attributes(kind):
        pickler.run(put, kind, name, value)
    for base, registered in [*_find_registered(kind), *_find_registrations(kind)]:
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
                if goes_by_value(each) and not pickler.knows(each):
                    pickler.save(each)
                    pickler.write(pickle.POP)


def _find_maker(kind: type) -> tuple[Callable[..., type], tuple[object, ...]]:
    own = vars(kind)
    names = {"__module__": name_module_on_server(kind), "__qualname__": kind.__qualname__}
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


def _list_attributes(kind: type) -> Iterator[tuple[str, object]]:
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


def _find_registered(kind: type) -> list[tuple[type, type]]:
    """Return the virtual subclasses of an abstract class, each with that."""
    if not isinstance(kind, abc.ABCMeta):
        return []
    registry = abc._get_dump(kind)[0]  # type: ignore[attr-defined] # noqa: SLF001
    alive = [found for ref in registry if (found := ref()) is not None]
    return [(kind, each) for each in sorted(alive, key=lambda it: (it.__module__, it.__qualname__))]


def _find_registrations(kind: type) -> Iterator[tuple[type, type]]:
    """Yield the abstract classes of Python whose virtual subclass a class is, each with it."""
    for name in (*collections.abc.__all__, *numbers.__all__):
        base = getattr(collections.abc, name, None) or getattr(numbers, name)
        yield from (pair for pair in _find_registered(base) if pair[1] is kind)


# --- modules ------------------------------------------------------------------------------


def save_module(pickler: Pickler, module: ModuleType) -> None:
    """Write a module by its name.

    :raises pickle.PicklingError: for the script as a whole.
    """
    if module.__name__ == "__main__":
        raise pickle.PicklingError("it refers to the module __main__ as a whole")
    pickler.graph.modules.add(module.__name__)
    pickler.save_reduce(importlib.import_module, (module.__name__,), obj=module)


def save_namespace(pickler: Pickler, found: dict[str, object]) -> bool:
    """Write the namespace of a module as just that, and ``sys.modules`` by its name.

    :returns: whether the dict is one of these.
    """
    made = pickler.graph.made_modules.get(id(found))
    module = made or script_globals.find_module_with(found)
    if found is sys.modules:
        pickler.save_reduce(getattr, (sys, "modules"), obj=found)
    elif module is None:
        return False
    else:
        if made is not None:
            pickler.save_reduce(ModuleType, (made.__name__,), obj=made)
            pickler.write(pickle.POP)
            pickler.run(operator.setitem, sys.modules, made.__name__, made)
        pickler.save_reduce(vars, (module,), obj=found)
    if made is None:
        pickler.graph.by_name.add(id(found))
    return True
