"""Pickle what a user defined so that it loads on a server that has none of his code.

dill pickles functions and classes of ``__main__`` by value. In its place, or on top of it, here:

* functions and classes of the script, and of a module that only the running program knows (a
  notebook's, one made by hand), go by value as ``_by_value`` says; their globals are one dict for
  each module (``_globals``);
* the pickles of one archive are one graph of objects (``_identity``);
* modules go by name; dill would take the whole content of one that lies outside the environment;
* what a module of the user's holds as well stays one object with that (``_holders``);
* single objects of a module, such as marks that code compares by identity, go by name as well;
* locks come back free, and what lives in this process only is an error (``_live_objects``);
* sets are written in an order of their own, equal strings as one string, and of a source file
  the name without its folder, so that the same objects give the same bytes in every process;
* what dill falls back to with a warning, references that no server can follow, is an error, and
  each error says where in the model or transform its object is.
"""

from __future__ import annotations

import importlib
import io
import operator
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from types import CellType, CodeType, FunctionType, ModuleType
from typing import IO, Any

import dill
import numpy as np
import torch

from eisen_deploy.packaging._capture import locate
from eisen_deploy.packaging._errors import NotSerializable

from . import by_value, live_objects, paths, torch_objects
from .by_value import is_located, is_of_script
from .deferred_errors import patient_file
from .identity import Graph
from .script_globals import module_with
from .tensors import Reduced
from .wrappers import uncompiled

#: The newest that every supported Python writes alike.
PROTOCOL = 4

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

    #: Set by :func:`pickler_of`: what goes by value is noted there, what the archive's pickles
    #: share is there, and the name of this one's file.
    by_value: ByValue | None = None
    shared: Graph | None = None
    file_name = ""
    #: What is pickled of a tensor, where it is not all that torch pickles.
    of_tensor: Callable[[torch.Tensor], Reduced] | None = None

    def __init__(self, file: IO[bytes], protocol: int = PROTOCOL) -> None:
        super().__init__(
            file, protocol=protocol, byref=False, fmode=dill.HANDLE_FMODE, recurse=True
        )
        self.graph = Graph() if self.shared is None else self.shared
        self._texts: dict[str, str] = {}
        self._codes: dict[int, tuple[CodeType, CodeType]] = {}
        self._places: dict[int, tuple[str, int]] = {}
        self._sets_above: frozenset[int] = frozenset()
        self._above: list[Any] = []

    def dump(self, obj: Any) -> None:
        """Pickle an object.

        :raises PicklingFailed: whatever the reason.
        """
        try:
            with _strictly():
                super().dump(obj)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, TypeError) and "cannot pickle" in said:
                said = f"{said}, which stays in this process: {live_objects.WHERE_USED}"
            raise PicklingFailed(f"{said}{paths.describe(self._above)}") from error
        self.graph.close(self.file_name, self.memo)

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Pickle one object of the graph; overrides what both dill and pickle call."""
        obj = self._stand_in(obj)
        if id(obj) in self.memo:
            super().save(obj, save_persistent_id)
        elif place := self.graph.place_of(obj):
            self.save_pers(self._places.setdefault(id(obj), place))
        else:
            self._above.append(obj)
            if self.by_value is not None:
                self._note(obj, self.by_value)
            if not self._save_our_way(obj):
                super().save(obj, save_persistent_id)
            for module, name in self.graph.held(obj):
                self.run(setattr, module, name, obj)
            if len(self._above) == 1:
                by_value.save_subclasses(self)
            self._above.pop()

    def knows(self, obj: Any) -> bool:
        """Whether this file or one before it has an object."""
        return id(obj) in self.memo or self.graph.place_of(obj) is not None

    def run(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have a function called when this is read, for what it does."""
        self.save_reduce(function, arguments)
        self.write(pickle.POP)

    def save_reduce(self, func: Any, args: Any, state: Any = None, *more: Any, **obj: Any) -> None:
        """Write what makes an object anew; several may have one and the same ``__dict__``."""
        made = obj.get("obj")
        if any(more[:2]) and by_value.fills_itself(type(made)):
            self.save_reduce(func, args, state, None, None, *more[2:], **obj)
            by_value.fill(self, made, *more)
            return
        is_own = type(state) is dict and getattr(made, "__dict__", None) is state
        if not is_own or hasattr(type(made), "__setstate__") or len(more) > 2:
            super().save_reduce(func, args, state, *more, **obj)
            return
        super().save_reduce(func, args, None, *more, **obj)
        if self.knows(state) or hasattr(type(made), "__getattr__"):  # which BUILD would ask
            self.run(object.__setattr__, made, "__dict__", state)
        else:
            self.save(state)
            self.write(pickle.BUILD)

    def _stand_in(self, obj: Any) -> Any:
        """Return what is pickled in place of an object: nearly always the object itself."""
        kind = type(obj)
        if kind is str:
            return self._texts.setdefault(obj, obj)
        if kind is CodeType:
            return self._without_folder(obj)
        return obj if kind is FunctionType and is_located(obj) else uncompiled(obj)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Save what can only go by its name, unless that name is of no use to a server."""
        name = name or getattr(obj, "__qualname__", None) or obj.__name__
        module = pickle.whichmodule(obj, name)  # type: ignore[attr-defined]
        if not locate.is_importable(module):
            raise pickle.PicklingError(
                f"{name} of {module} ({type(obj).__name__}) goes by name only, and no server finds "
                "it there: move it to a file that can be imported"
            )
        self.graph.by_name.add(id(obj))
        self.graph.modules.add(module)
        super().save_global(obj, name)

    def _save_our_way(self, obj: Any) -> bool:
        """Write an object that dill or pickle would write in a way that does not serve."""
        kind = type(obj)
        if isinstance(obj, type) or kind in (FunctionType, CellType):
            return self._save_definition(obj, kind)
        if kind is dict:
            return self._save_namespace(obj)
        if kind in (set, frozenset) and id(obj) not in self._sets_above:
            self.save_reduce(kind, (self._in_order(obj),), obj=obj)
        elif isinstance(obj, ModuleType) and sys.modules.get(obj.__name__) is obj:
            self._save_module(obj)
        elif isinstance(obj, torch.storage.TypedStorage):
            return self._save_memory(obj)
        elif kind in (np.ndarray, np.memmap) and obj.base is not None:
            return self._save_view(obj)
        elif (name := _name_in_module(obj)) is not None:
            self.graph.by_name.add(id(obj))
            self.save_reduce(getattr, (sys.modules[kind.__module__], name), obj=obj)
        elif reduced := self._reduced(obj):
            self.save_reduce(*reduced, obj=obj)
        else:
            return False
        return True

    def _reduced(self, obj: Any) -> Reduced | None:
        if reduced := by_value.reduced(obj) or live_objects.reduced(obj):
            return reduced
        reduced = torch_objects.reduced(obj, self.of_tensor)
        if reduced and isinstance(obj, torch.Tensor):
            self.graph.note_tensor(obj, reduced)
        return reduced

    def _save_definition(self, obj: Any, kind: type) -> bool:
        if kind is CellType:
            by_value.save_cell(self, obj)
        elif kind is FunctionType and not is_located(obj):
            by_value.save_function(self, obj)
        elif kind is FunctionType or is_located(obj):
            if obj in dill._dill._typemap:  # noqa: SLF001
                return False
            self.save_global(obj)
        elif reduced := by_value.reduced(obj):
            self.save_reduce(*reduced, obj=obj)
        elif is_of_script(obj):
            by_value.save_class(self, obj)
        else:
            return False
        return True

    def _save_namespace(self, obj: dict[str, Any]) -> bool:
        """Write the namespace of a module as just that, and what knows all modules by its name."""
        made = self.graph.made_modules.get(id(obj))
        module = made or module_with(obj)
        if obj is sys.modules:
            self.save_reduce(getattr, (sys, "modules"), obj=obj)
        elif module is None:
            return False
        else:
            if made is not None:
                self.save_reduce(ModuleType, (made.__name__,), obj=made)
                self.write(pickle.POP)
                self.run(operator.setitem, sys.modules, made.__name__, made)
            self.save_reduce(vars, (module,), obj=obj)
        if made is None:
            self.graph.by_name.add(id(obj))
        return True

    def _save_memory(self, storage: torch.storage.TypedStorage) -> bool:
        """Write the memory of a tensor as that of another one, if that is in the archive."""
        tensor = None if self.is_torchs else self.graph.tensor_in(storage)
        if tensor is None or not self.knows(tensor):
            return False
        self.save_reduce(torch.Tensor._typed_storage, (tensor,), obj=storage)  # noqa: SLF001
        return True

    def _save_view(self, view: np.ndarray[Any, Any]) -> bool:
        """Write an array that is a part of one in the archive as just that."""
        whole: Any = view
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        if not self.knows(whole) or view.dtype.hasobject or not whole.flags.c_contiguous:
            return self._save_mapped(view)
        offset = view.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        part = view.shape, view.dtype, whole, offset, view.strides
        self.save_reduce(np.ndarray, part, obj=view)
        return True

    def _save_mapped(self, array: np.ndarray[Any, Any]) -> bool:
        """Write what an array maps from a file as a plain one."""
        if type(array) is np.memmap:
            reduced: Any = np.ndarray.__reduce__(array)
            make, (_, *size), state = reduced
            self.save_reduce(make, (np.ndarray, *size), state, obj=array)
        return type(array) is np.memmap

    @property
    def is_torchs(self) -> bool:
        """Whether :func:`torch.save` uses it, which writes the memory of tensors itself."""
        return type(self).persistent_id is not dill.Pickler.persistent_id

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
        self.graph.modules.add(module.__name__)
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


def pickler_of(graph: Graph, file_name: str, by_value: ByValue) -> type[Pickler]:
    """Return the pickler of one file of an archive."""
    members = {
        "shared": graph,
        "file_name": file_name,
        "by_value": by_value,
        "of_tensor": staticmethod(graph.storages.reduced),
    }
    return type("Pickler", (Pickler,), members)


class _Measuring(Pickler):
    """Pickles for what it sees of tensors; arrays of numpy, which may be large, hold none."""

    def __init__(self, graph: Graph, part: str) -> None:
        self.shared, self.file_name = graph, part
        super().__init__(_Nowhere())  # type: ignore[arg-type] # what is used of IO[bytes] is there
        self.of_tensor = graph.storages.note

    def persistent_id(self, obj: Any) -> str | None:
        """Return what stands for the memory of a tensor."""
        return self.graph.storages.note_storage(obj)

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Pickle one object of the graph."""
        is_plain = type(obj) in (np.ndarray, np.memmap) and not obj.dtype.hasobject
        super().save(None if is_plain else obj, save_persistent_id)


class _Nowhere(io.RawIOBase):
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take bytes."""
        return len(data)


def measure(parts: Mapping[str, Any]) -> Graph:
    """Return the graph for parts of an archive, with what is used of the memory of tensors.

    Nothing is written.

    :param parts: by name, as an error names them.
    :raises NotSerializable: if one of them cannot be pickled.
    """
    graph = Graph()
    for part, obj in parts.items():
        with failures_named(part):
            _Measuring(graph, part).dump(obj)
    return graph.measured()


def _fingerprint(item: Any, above: frozenset[int]) -> bytes:
    """Return the pickle of a set's item; a set around it is not put in order once more."""
    file = io.BytesIO()
    pickler = Pickler(file)
    pickler._sets_above = above  # noqa: SLF001
    pickler.dump(item)
    return file.getvalue()


def write(obj: Any, path: Path, part: str, graph: Graph) -> ByValue:
    """Pickle an object into a new file, and return what of it went by value.

    :param part: what the object is, as an error names it.
    :param graph: what the files of the archive share.
    :raises NotSerializable: if it cannot be pickled.
    """
    by_value = ByValue()
    with patient_file(path) as file, failures_named(part):
        pickler_of(graph, path.name, by_value)(file).dump(obj)
    return by_value


@contextmanager
def failures_named(part: str) -> Iterator[None]:
    """Turn a failure to pickle into an error that says what could not be pickled."""
    try:
        yield
    except PicklingFailed as error:
        raise NotSerializable(part, str(error)) from error.__cause__


@contextmanager
def _strictly() -> Iterator[None]:
    """Have dill fail where it would only warn."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("error", dill.PicklingWarning)
        locate.is_importable.cache_clear()
        yield


def _name_in_module(obj: Any) -> str | None:
    """Return the name of an object that its class's module has once, and code knows by identity.

    Those of the standard library, such as what dataclasses mark fields with, and those that hold
    nothing: what the program has put into others has to travel.
    """
    kind = type(obj)
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "builtins" or not locate.is_importable(kind.__module__):
        return None
    is_standard = kind.__module__.partition(".")[0] in sys.stdlib_module_names
    if not is_standard and getattr(obj, "__dict__", True):
        return None
    return next((name for name, each in vars(module).items() if each is obj), None)
