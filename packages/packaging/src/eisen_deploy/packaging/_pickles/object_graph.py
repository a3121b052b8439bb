"""One object graph in several files: what one file holds, the files after it refer to.

Model, pre- and post-processing are a pickle each. An object that bears identity and that an
earlier file of the same archive holds is written as a persistent reference: the name of that file,
and the number under which its pickle remembers the object.

The user's own modules take part: ``from settings import CACHE`` gives the script an object that the
functions of ``settings`` use as well. It is pickled as the script has it, and a server that imports
``settings`` makes another one: each name that such a module has for the object is set to the one
from the pickle.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)

import numpy as np
import torch

from . import Reduced
from .memory import Storages, find_storage
from .script_globals import Namespace, is_users_file, make_namespace

Place = tuple[str, int]
#: By the id of an object: the user's own modules and the names that these have for it.
Holders = dict[int, list[tuple[ModuleType, str]]]

# Values, and what is found by its name wherever it is: of these, a copy is as good.
_NO_IDENTITY = (
    str,
    bytes,
    int,
    float,
    complex,
    tuple,
    frozenset,
    range,
    slice,
    type(None),
    type(...),
    type(NotImplemented),
    CodeType,
    ModuleType,
    BuiltinFunctionType,
    MethodDescriptorType,
    WrapperDescriptorType,
    GetSetDescriptorType,
    np.dtype,
    np.generic,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
)


@dataclass
class Graph:
    """What the pickles of one archive have in common.

    :param storages: the memory of tensors, and what is used of it.
    :param hooked: ids of classes whose ``__init_subclass__`` is in place by now.
    :param classes: those that went by value.
    :param asks_for_subclasses: whether code of the archive uses ``__subclasses__()``.
    :param by_name: the ids of objects that went by their name.
    :param made_modules: what is made on a server, by the ids of their namespaces.
    :param modules: the names of those that something refers to.
    :param holders: what the user's own modules hold.
    """

    storages: Storages = field(default_factory=Storages)
    hooked: set[int] = field(default_factory=set)
    classes: list[type] = field(default_factory=list)
    asks_for_subclasses: bool = False
    by_name: set[int] = field(default_factory=set)
    made_modules: dict[int, ModuleType] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    holders: Holders = field(default_factory=dict)
    _places: dict[int, Place] = field(default_factory=dict)
    _alive: list[object] = field(default_factory=list)
    _namespaces: dict[tuple[int, bool], Namespace] = field(default_factory=dict)
    _tensors: dict[int, tuple[torch.Tensor, torch.UntypedStorage]] = field(default_factory=dict)

    def remember_file(self, file: str, memo: dict[int, tuple[int, object]]) -> None:
        """Remember what a file holds, and keep it alive, so that no other object gets its id."""
        self._alive.append(memo)
        for key, (index, obj) in memo.items():
            if key not in self.by_name and not isinstance(obj, _NO_IDENTITY):
                self._places[key] = file, index

    def find_place(self, obj: object) -> Place | None:
        """Return where an earlier file has an object."""
        return self._places.get(id(obj))

    def get_namespace(self, source: dict[str, object], *, is_imported: bool = False) -> Namespace:
        """Return the one namespace in the archive that stands for the globals of functions."""
        key = id(source), is_imported
        if key not in self._namespaces:
            self._namespaces[key] = space = make_namespace(source, is_imported=is_imported)
            if space.module is not None:
                self.made_modules[id(space.target)] = space.module
        return self._namespaces[key]

    def start_writing(self) -> Graph:
        """Return the graph to write, for what this one has seen and not written."""
        return Graph(self.storages, holders=_find_holders(self.modules))

    def find_holders(self, obj: object) -> Iterator[tuple[ModuleType, str]]:
        """Yield where the user's own modules hold an object that is written with its content."""
        is_value = id(obj) in self.by_name or isinstance(obj, _NO_IDENTITY)
        for module, name in () if is_value else self.holders.get(id(obj), ()):
            if vars(module).get(name) is obj:
                yield module, name

    def note_tensor(self, tensor: torch.Tensor, reduced: Reduced) -> None:
        """Remember the first tensor that lies in some memory, as it is in the archive."""
        storage = find_storage(reduced)
        if storage is not None:
            self._tensors.setdefault(storage._cdata, (tensor, storage))  # noqa: SLF001

    def find_tensor(self, storage: torch.storage.TypedStorage) -> torch.Tensor | None:
        """Return the first tensor that lies in the memory of a storage."""
        found = self._tensors.get(storage._untyped_storage._cdata)  # noqa: SLF001
        return found[0] if found else None


def _find_holders(names: Iterable[str]) -> Holders:
    """Return what the user's own modules hold: those named, and all that these lead to."""
    found: Holders = {}
    for _, module in sorted(_find_users_modules(names).items()):
        for name, value in vars(module).items():
            if not name.startswith("__") and not isinstance(value, (type, FunctionType)):
                found.setdefault(id(value), []).append((module, name))
    return found


def _find_users_modules(names: Iterable[str]) -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        module = sys.modules.get(name)
        if type(module) is ModuleType and is_users_file(name):
            found[name] = module
            waiting |= {name.rpartition(".")[0], *_find_modules_behind(module)} - seen
    return found


def _find_modules_behind(module: ModuleType) -> Iterator[str]:
    for value in vars(module).values():
        name = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", None)
        if isinstance(value, (ModuleType, type, FunctionType)) and isinstance(name, str):
            yield name
