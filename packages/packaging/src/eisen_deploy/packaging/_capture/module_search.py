"""Where a fresh interpreter would find a module; nothing is imported.

:func:`importlib.util.find_spec` imports the packages above a module, and believes what a running
program has put into ``sys.modules``. Here only the finders of ``sys.meta_path`` are asked.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.importlib import MetaPathFinderProtocol

_STDLIB = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]


def find_spec(module: str) -> ModuleSpec | None:
    """Return how a module would be imported, or ``None`` if it would not be found."""
    path: Sequence[str] | None = None
    spec = None
    for name in list_packages(module):
        finders = (each for each in sys.meta_path if hasattr(each, "find_spec"))
        found = (_ask(each, name, path) for each in finders)
        spec = next((each for each in found if each is not None), None)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and name != module:
            return None  # it lies in something that is not a package
    return spec


def _ask(
    finder: MetaPathFinderProtocol, name: str, path: Sequence[str] | None
) -> ModuleSpec | None:
    try:
        return finder.find_spec(name, path)
    except KeyError:  # within a namespace package another one, which it wants to be imported
        spec = ModuleSpec(name, None, is_package=True)
        folders = (Path(each) / name.rpartition(".")[2] for each in path or ())
        spec.submodule_search_locations = [str(each) for each in folders if each.is_dir()]
        return spec


def list_packages(module: str) -> Iterator[str]:
    """Yield the names of the packages that lead to a module, outermost first, and its own."""
    return accumulate(module.split("."), "{}.{}".format)


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
    if spec is None:  # an importable package may make it while it is imported, as six.moves
        parent = module.rpartition(".")[0]
        return module in sys.modules and bool(parent) and is_importable(parent)
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
