"""Where a fresh interpreter would find a module; nothing is imported.

:func:`importlib.util.find_spec` imports the packages above a module, and believes what a running
program has put into ``sys.modules``. Here only the finders of ``sys.meta_path`` are asked.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

_STDLIB = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]


def find_spec(module: str) -> ModuleSpec | None:
    """Return how a module would be imported, or ``None`` if it would not be found."""
    path: Sequence[str] | None = None
    spec = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        spec = _ask_finders(name, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and name != module:
            return None  # it lies in something that is not a package
    return spec


@functools.cache
def is_importable(module: str) -> bool:
    """Whether a fresh interpreter would find a module and get this very one.

    A module that a program made, or loaded from a file under a name of its own, is not.
    """
    if module == "__main__":
        return False
    if module.partition(".")[0] in (*sys.stdlib_module_names, "dill"):  # dill always travels
        return True
    spec = find_spec(module)
    if spec is None:
        return module in sys.modules and _is_made_by_its_package(module)
    loaded = getattr(sys.modules.get(module), "__spec__", None) if module in sys.modules else spec
    return loaded is not None and bool(loaded.origin == spec.origin)


def is_namespace(spec: ModuleSpec) -> bool:
    """Whether it is a package without a file of its own (:pep:`420`)."""
    return spec.origin is None and spec.submodule_search_locations is not None


def is_standard(spec: ModuleSpec) -> bool:
    """Whether a module belongs to Python."""
    if spec.origin in ("built-in", "frozen"):
        return True
    if spec.origin is None or "site-packages" in spec.origin or "dist-packages" in spec.origin:
        return False
    return any(folder in Path(spec.origin).resolve().parents for folder in _STDLIB)


def read_source(spec: ModuleSpec) -> bytes | None:
    """Return a module's source as it stands on the disk or in a zip file; ``None`` without one."""
    read = getattr(spec.loader, "get_data", None)
    if read is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    data: bytes = read(spec.origin)
    return data


def _ask_finders(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, path) if find else None
        if spec is not None:
            return spec
    return None


def _is_made_by_its_package(module: str) -> bool:
    """Whether an importable package makes the module while it is imported, as six.moves is."""
    parent = module.rpartition(".")[0]
    return bool(parent) and is_importable(parent)
