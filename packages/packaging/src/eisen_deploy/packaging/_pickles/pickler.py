"""Pickle what a user defined so that it loads on a server without the user's code.

dill pickles functions and classes of ``__main__`` by value. In its place, or on top of it, come
the other modules of this package, and here:

* modules go by name; dill would take the whole content of one that lies outside the environment;
* single objects of a module, such as marks that code compares by identity, go by name as well;
* sets are written in an order of their own, equal strings as one string, and of a source file
  the name without its folder, so that the same objects give the same bytes in every process;
* where dill only warns of references that no server can follow, there is an error, and each error
  says where in the model or transform its object is (:mod:`.object_paths`).
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from types import CellType, CodeType, FunctionType, ModuleType
from typing import IO

import dill
import numpy as np
import torch

from eisen_deploy.packaging._capture.module_search import is_importable

from . import Reduced, definitions, instances, live_objects, memory, torch_objects
from .definitions import goes_by_value, is_found_by_name
from .object_graph import Graph
from .object_paths import describe_path

#: The newest that every supported Python writes alike.
PROTOCOL = 4

_one_at_a_time = threading.RLock()


class PicklingFailed(Exception):
    """An object could not be pickled; the cause says why."""


@dataclass(frozen=True)
class PickledByValue:
    """What was pickled by value.

    :param codes: the code of functions, and of functions inside these.
    :param modules: the modules, importable by nobody else, that functions and classes are from.
    """

    codes: list[CodeType] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)


class Pickler(dill.Pickler):  # type: ignore[misc] # dill has no types
    """dill's pickler with the changes above; :func:`torch.save` derives its own from it."""

    #: Set by :func:`make_pickler`: what goes by value is noted there, what the archive's pickles
    #: share is there, and the name of this one's file.
    by_value: PickledByValue | None = None
    shared: Graph | None = None
    file_name = ""
    #: Returns what is pickled of a tensor, where it is not all that torch pickles.
    reduce_tensor: Callable[[torch.Tensor], Reduced] | None = None

    def __init__(self, file: IO[bytes], protocol: int = PROTOCOL) -> None:
        super().__init__(
            file, protocol=protocol, byref=False, fmode=dill.HANDLE_FMODE, recurse=True
        )
        self.graph = Graph() if self.shared is None else self.shared
        self._texts: dict[str, str] = {}
        self._codes: dict[int, tuple[CodeType, CodeType]] = {}
        self._places: dict[int, tuple[str, int]] = {}
        self._sets_above: frozenset[int] = frozenset()
        self._above: list[object] = []

    def dump(self, obj: object) -> None:
        """Pickle an object.

        :raises PicklingFailed: whatever the reason.
        """
        try:
            with _fail_on_warnings():
                super().dump(obj)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, TypeError) and "cannot pickle" in reason:
                reason = f"{reason}, which stays in this process: {live_objects.REMEDY}"
            raise PicklingFailed(f"{reason}{describe_path(self._above)}") from error
        self.graph.remember_file(self.file_name, self.memo)

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Pickle one object of the graph; overrides what both dill and pickle call."""
        obj = self._replace(obj)
        if id(obj) in self.memo:
            super().save(obj, save_persistent_id)
        elif place := self.graph.find_place(obj):
            self.save_pers(self._places.setdefault(id(obj), place))
        else:
            self._above.append(obj)
            if self.by_value is not None:
                _note(obj, self.by_value)
            if not self._save_specially(obj):
                super().save(obj, save_persistent_id)
            for module, name in self.graph.find_holders(obj):
                self.run(setattr, module, name, obj)
            if len(self._above) == 1:
                definitions.save_subclasses(self)
            self._above.pop()

    def knows(self, obj: object) -> bool:
        """Whether this file or one before it has an object."""
        return id(obj) in self.memo or self.graph.find_place(obj) is not None

    def run(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called when this is read, for what it does."""
        self.save_reduce(function, arguments)
        self.write(pickle.POP)

    def save_reduce(
        self,
        func: object,
        args: object,
        state: object = None,
        listitems: Iterable[object] | None = None,
        dictitems: Iterable[tuple[object, object]] | None = None,
        state_setter: object = None,
        *,
        obj: object = None,
    ) -> None:
        """Write what makes an object anew; several may have one and the same ``__dict__``."""
        if (listitems or dictitems) and instances.fills_itself(type(obj)):
            self.save_reduce(func, args, state, state_setter=state_setter, obj=obj)
            instances.fill(self, obj, listitems, dictitems)
            return
        is_own = type(state) is dict and getattr(obj, "__dict__", None) is state
        if not is_own or hasattr(type(obj), "__setstate__") or state_setter is not None:
            super().save_reduce(func, args, state, listitems, dictitems, state_setter, obj=obj)
            return
        super().save_reduce(func, args, None, listitems, dictitems, obj=obj)
        if self.knows(state) or hasattr(type(obj), "__getattr__"):  # which BUILD would ask
            self.run(object.__setattr__, obj, "__dict__", state)
        else:
            self.save(state)
            self.write(pickle.BUILD)

    def save_global(self, obj: object, name: str | None = None) -> None:
        """Save what can only go by its name, unless that name is of no use to a server."""
        name = name or getattr(obj, "__qualname__", None) or str(getattr(obj, "__name__", ""))
        module = pickle.whichmodule(obj, name)  # type: ignore[attr-defined]
        if not is_importable(module):
            raise pickle.PicklingError(
                f"{name} of {module} ({type(obj).__name__}) goes by name only, and no server finds "
                "it there: move it to a file that can be imported"
            )
        self.graph.by_name.add(id(obj))
        self.graph.modules.add(module)
        super().save_global(obj, name)

    @property
    def is_for_torch(self) -> bool:
        """Whether :func:`torch.save` uses it, which writes the memory of tensors itself."""
        return type(self).persistent_id is not dill.Pickler.persistent_id

    def _replace(self, obj: object) -> object:
        """Return what is pickled in place of an object: nearly always the object itself."""
        if type(obj) is str:
            return self._texts.setdefault(obj, obj)
        if type(obj) is CodeType:
            return self._drop_folder(obj)
        is_import = type(obj) is FunctionType and is_found_by_name(obj)
        return obj if is_import else torch_objects.undo_compile(obj)

    def _save_specially(self, obj: object) -> bool:
        """Write an object that dill or pickle would write in a way that does not serve."""
        kind = type(obj)
        # An object may say of itself in __class__ that it is a function: type() knows better.
        if isinstance(obj, type) or type(obj) is FunctionType or type(obj) is CellType:
            return self._save_definition(obj)
        if type(obj) is dict:
            return definitions.save_namespace(self, obj)
        if isinstance(obj, torch.storage.TypedStorage):
            return memory.save_storage(self, obj)
        if isinstance(obj, np.ndarray) and kind in (np.ndarray, np.memmap) and obj.base is not None:
            return memory.save_array(self, obj)
        if (
            isinstance(obj, (set, frozenset))
            and kind in (set, frozenset)
            and id(obj) not in self._sets_above
        ):
            self.save_reduce(kind, (self._sort(obj),), obj=obj)
        elif isinstance(obj, ModuleType) and sys.modules.get(obj.__name__) is obj:
            definitions.save_module(self, obj)
        elif (name := _find_name_in_module(obj)) is not None:
            self.graph.by_name.add(id(obj))
            self.save_reduce(getattr, (sys.modules[kind.__module__], name), obj=obj)
        else:
            return self._save_reduced(obj)
        return True

    def _save_reduced(self, obj: object) -> bool:
        reduced = (
            instances.reduce_instance(obj)
            or live_objects.reduce_live_object(obj)
            or torch_objects.reduce_torch_object(obj, self.reduce_tensor)
        )
        if reduced is None:
            return False
        if isinstance(obj, torch.Tensor):
            self.graph.note_tensor(obj, reduced)
        self.save_reduce(*reduced, obj=obj)
        return True

    def _save_definition(self, obj: type | FunctionType | CellType) -> bool:
        if type(obj) is CellType:
            definitions.save_cell(self, obj)
        elif is_found_by_name(obj):
            if obj in dill._dill._typemap:  # noqa: SLF001
                return False
            self.save_global(obj)
        elif type(obj) is FunctionType:
            definitions.save_function(self, obj)
        elif reduced := instances.reduce_instance(obj):
            self.save_reduce(*reduced, obj=obj)
        elif goes_by_value(obj):
            definitions.save_class(self, obj)
        else:
            return False
        return True

    def _drop_folder(self, code: CodeType) -> CodeType:
        """Return the same code as if its file had no folder; nested code comes here by itself."""
        if id(code) not in self._codes:
            name = PureWindowsPath(code.co_filename).name  # takes both kinds of slashes
            self._codes[id(code)] = code, code.replace(co_filename=name)
        return self._codes[id(code)][1]

    def _sort(self, items: set[object] | frozenset[object]) -> list[object]:
        if all(type(item) in (str, bytes, int, float, bool, type(None)) for item in items):
            return sorted(items, key=lambda item: (type(item).__name__, repr(item)))
        above = self._sets_above | {id(items)}
        return sorted(items, key=lambda item: _pickle_set_item(item, above))


def make_pickler(graph: Graph, file_name: str, by_value: PickledByValue) -> type[Pickler]:
    """Return the pickler of one file of an archive."""
    members = {
        "shared": graph,
        "file_name": file_name,
        "by_value": by_value,
        "reduce_tensor": staticmethod(graph.storages.reduce),
    }
    return type("Pickler", (Pickler,), members)


def _note(obj: object, by_value: PickledByValue) -> None:
    if isinstance(obj, CodeType):
        by_value.codes.append(obj)
    elif isinstance(obj, (type, FunctionType)):
        module = obj.__module__
        if isinstance(module, str) and not is_importable(module):
            by_value.modules.add(module)


def _pickle_set_item(item: object, above: frozenset[int]) -> bytes:
    """Return the pickle of a set's item; the sets around it are not put in order once more."""
    file = io.BytesIO()
    pickler = Pickler(file)
    pickler._sets_above = above  # noqa: SLF001
    pickler.dump(item)
    return file.getvalue()


@contextmanager
def _fail_on_warnings() -> Iterator[None]:
    """Have dill fail where it would only warn."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("error", dill.PicklingWarning)
        is_importable.cache_clear()
        yield


def _find_name_in_module(obj: object) -> str | None:
    """Return the name of an object that its class's module has once, and code knows by identity.

    Those of the standard library, such as what dataclasses mark fields with, and those that hold
    nothing: what the program has put into others has to travel.
    """
    kind = type(obj)
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "builtins" or not is_importable(kind.__module__):
        return None
    is_standard = kind.__module__.partition(".")[0] in sys.stdlib_module_names
    if not is_standard and getattr(obj, "__dict__", True):
        return None
    return next((name for name, each in vars(module).items() if each is obj), None)
