"""Pickle what a user defined so that it loads on a server that has none of his code.

dill pickles functions and classes of ``__main__`` by value. On top of it, here:

* a function takes along the globals that it refers to, and no others: dill's own search never
  ends on functions that call each other, and orders what it finds by hash;
* submodules that a function reaches through their package are imported with it: ``import a.b``
  leaves only ``a`` among the globals;
* modules go by name; dill would take the whole content of one that lies outside the environment;
* functions and classes of a module that only the running program knows (a notebook's, one made by
  hand) go by value, as those of ``__main__`` do;
* an open file is an error: dill would pickle its name, which no server knows;
* sets are written in an order of their own, equal strings as one string, and of a source file
  the name without its folder, so that the same objects give the same bytes in every process;
* enumerations and type variables go by value as well;
* what dill falls back to with a warning, references that no server can follow, is an error.
"""

from __future__ import annotations

import copyreg
import dis
import importlib
import io
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any

import dill
import dill.detect

from . import _by_value
from ._capture import locate
from ._errors import NotSerializable
from ._patient_file import patient_file

#: The newest that every supported Python writes alike.
PROTOCOL = 4

_GLOBAL_OPS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_SUBMODULES = "__eisen_submodules__"
_one_at_a_time = threading.RLock()


class PicklingFailed(Exception):
    """An object could not be pickled; the cause says why."""


@dataclass(frozen=True)
class ByValue:
    """What was pickled by value.

    :param codes: the code of functions, and of functions inside these.
    :param modules: the modules, importable by nobody else, that functions and classes are from.
    """

    codes: list[CodeType] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)


class Pickler(dill.Pickler):  # type: ignore[misc] # dill has no types
    """dill's pickler with the changes that the module's text tells.

    :func:`torch.save` derives its own from it.
    """

    #: What was pickled by value, where :func:`watched` sets it.
    by_value: ByValue | None = None

    def __init__(self, file: IO[bytes], protocol: int = PROTOCOL) -> None:
        super().__init__(
            file, protocol=protocol, byref=False, fmode=dill.HANDLE_FMODE, recurse=True
        )
        self._texts: dict[str, str] = {}
        self._codes: dict[int, tuple[CodeType, CodeType]] = {}
        self._sets_above: frozenset[int] = frozenset()

    def dump(self, obj: Any) -> None:
        """Pickle an object.

        :raises PicklingFailed: whatever the reason.
        """
        try:
            with _as_we_need_dill():
                super().dump(obj)
        except Exception as error:
            raise PicklingFailed(f"{type(error).__name__}: {error}") from error

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Pickle one object of the graph; overrides what both dill and pickle call."""
        kind = type(obj)
        if kind is str:
            obj = self._texts.setdefault(obj, obj)
        elif kind is CodeType:
            obj = self._without_folder(obj)
        elif isinstance(obj, type):
            # The first instance to be pickled leaves this cache in its class: have it always.
            copyreg._slotnames(obj)  # type: ignore[attr-defined] # noqa: SLF001
        if id(obj) not in self.memo:
            _refuse_what_stays_here(obj)
            if self.by_value is not None:
                self._note(obj, self.by_value)
            if kind in (set, frozenset) and id(obj) not in self._sets_above:
                self.save_reduce(kind, (self._in_order(obj),), obj=obj)
                return
            if isinstance(obj, ModuleType) and sys.modules.get(obj.__name__) is obj:
                self._save_module(obj)
                return
            if _is_named_tuple(obj) and _is_located(obj):
                self.save_global(obj)  # dill would make another one on the server
                return
            if (reduced := _by_value.reduced(obj)) is not None:
                self.save_reduce(*reduced, obj=obj)
                return
        super().save(obj, save_persistent_id)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Save what can only go by its name, unless that name is of no use to a server."""
        name = name or getattr(obj, "__qualname__", None) or obj.__name__
        module = pickle.whichmodule(obj, name)  # type: ignore[attr-defined]
        if not locate.is_importable(module):
            raise pickle.PicklingError(
                f"{name} of {module} ({type(obj).__name__}) goes by name only, and no server finds "
                "it there: move it to a file that can be imported"
            )
        super().save_global(obj, name)

    def _note(self, obj: Any, by_value: ByValue) -> None:
        if isinstance(obj, CodeType):
            by_value.codes.append(obj)
        elif isinstance(obj, (type, FunctionType)):
            module = obj.__module__
            if isinstance(module, str) and not locate.is_importable(module):
                by_value.modules.add(module)

    def _save_module(self, module: ModuleType) -> None:
        if module.__name__ == "__main__":
            raise pickle.PicklingError("it refers to the module __main__ as a whole")
        self.save_reduce(importlib.import_module, (module.__name__,), obj=module)

    def _without_folder(self, code: CodeType) -> CodeType:
        """Return the same code as if its file had no folder; nested code comes here by itself."""
        if id(code) not in self._codes:
            name = PureWindowsPath(code.co_filename).name  # takes both kinds of slashes
            self._codes[id(code)] = code, code.replace(co_filename=name)
        return self._codes[id(code)][1]

    def _in_order(self, items: set[Any] | frozenset[Any]) -> list[Any]:
        if all(type(item) in (str, bytes, int, float, bool, type(None)) for item in items):
            return sorted(items, key=lambda item: (type(item).__name__, repr(item)))
        above = self._sets_above | {id(items)}
        return sorted(items, key=lambda item: _fingerprint(item, above))


def watched(by_value: ByValue) -> type[Pickler]:
    """Return a pickler that notes what it pickles by value."""
    return type("Pickler", (Pickler,), {"by_value": by_value})


def _fingerprint(item: Any, above: frozenset[int]) -> bytes:
    """Return the pickle of a set's item; a set around it is not put in order once more."""
    file = io.BytesIO()
    pickler = Pickler(file)
    pickler._sets_above = above  # noqa: SLF001
    pickler.dump(item)
    return file.getvalue()


def write(obj: Any, path: Path, part: str) -> ByValue:
    """Pickle an object into a new file, and return what of it went by value.

    :param part: what the object is, as an error names it.
    :raises NotSerializable: if it cannot be pickled.
    """
    by_value = ByValue()
    with patient_file(path) as file, failures_named(part):
        watched(by_value)(file).dump(obj)
    return by_value


@contextmanager
def failures_named(part: str) -> Iterator[None]:
    """Turn a failure to pickle into an error that says what could not be pickled."""
    try:
        yield
    except PicklingFailed as error:
        raise NotSerializable(part, str(error)) from error.__cause__


@contextmanager
def _as_we_need_dill() -> Iterator[None]:
    """Have dill search for globals and places as we do, and fail where it would only warn."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("error", dill.PicklingWarning)
        theirs = dill.detect.globalvars, dill._dill._locate_function  # noqa: SLF001
        dill.detect.globalvars = _globals_of
        dill._dill._locate_function = _is_located  # noqa: SLF001
        locate.is_importable.cache_clear()
        try:
            yield
        finally:
            dill.detect.globalvars, dill._dill._locate_function = theirs  # noqa: SLF001


def _is_located(obj: Any, _: object = None) -> bool:
    """Whether a server that imports an object's module finds this very object in it."""
    module = getattr(obj, "__module__", None)
    if not isinstance(module, str) or not locate.is_importable(module):
        return False
    found = sys.modules.get(module)
    for name in getattr(obj, "__qualname__", obj.__name__).split("."):
        found = getattr(found, name, None)
    return found is obj


def _is_named_tuple(obj: Any) -> bool:
    return isinstance(obj, type) and obj.__bases__ == (tuple,) and hasattr(obj, "_fields")


def _refuse_what_stays_here(obj: Any) -> None:
    if isinstance(obj, io.IOBase) and not isinstance(obj, (io.BytesIO, io.StringIO)):
        name = getattr(obj, "name", "")
        raise pickle.PicklingError(
            f"an open file ({name}) stays on this machine: read it here and keep its content, or "
            "open it where it is used and pass it in additional_files="
        )


def _globals_of(function: FunctionType, **_: Any) -> dict[str, Any]:
    """Return the globals that a function's code refers to, by name in alphabetical order."""
    known = function.__globals__
    names = sorted(set(_global_names(function.__code__)) & set(known))
    found = {name: known[name] for name in names}
    reached = list(_reached_submodules(function.__code__, list(found.values())))
    return {**found, _SUBMODULES: reached} if reached else found


def _global_names(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname in _GLOBAL_OPS:
            yield step.argval
    for inner in _inner_codes(code):
        yield from _global_names(inner)


def _reached_submodules(code: CodeType, found: list[Any]) -> Iterator[ModuleType]:
    attributes = set(_attribute_names(code))
    packages = [item.__name__ for item in found if isinstance(item, ModuleType)]
    for name in sorted(sys.modules):
        for package in packages:
            rest = name.removeprefix(f"{package}.")
            module = sys.modules[name]
            if rest != name and set(rest.split(".")) <= attributes and type(module) is ModuleType:
                yield module


def _attribute_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in _inner_codes(code):
        yield from _attribute_names(inner)


def _inner_codes(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]
