"""Which modules of the user's hold an object that travels.

``from settings import CACHE`` gives the script an object that the functions of ``settings`` use as
well. It is pickled as the script has it, and a server that imports ``settings`` makes another one:
each name that such a module has for the object is set to the one from the pickle.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType

from .script_globals import is_users

#: By the id of an object: modules and the names that these have for it.
Holders = dict[int, list[tuple[ModuleType, str]]]


def holders_in(names: Iterable[str]) -> Holders:
    """Return what the user's own modules hold, of those named and of all that these lead to."""
    found: Holders = {}
    for _, module in sorted(_reached(names).items()):
        for name, value in vars(module).items():
            if not name.startswith("__") and not isinstance(value, (type, FunctionType)):
                found.setdefault(id(value), []).append((module, name))
    return found


def _reached(names: Iterable[str]) -> dict[str, ModuleType]:
    found: dict[str, ModuleType] = {}
    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        module = sys.modules.get(name)
        if type(module) is ModuleType and is_users(name):
            found[name] = module
            waiting |= {name.rpartition(".")[0], *_leads_to(module)} - seen
    return found


def _leads_to(module: ModuleType) -> Iterator[str]:
    for value in vars(module).values():
        name = getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", None)
        if isinstance(value, (ModuleType, type, FunctionType)) and isinstance(name, str):
            yield name
