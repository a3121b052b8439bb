"""What model, transforms and handler need to be loaded: modules, each with who needs it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from . import imports, references
from .imports import Import


class Need(NamedTuple):
    """One module that is needed.

    :param module: absolute name.
    :param by: who needs it, as messages and ``eisen.json`` say it.
    :param names: what is taken from it; each may be an attribute or a submodule.
    :param optional: whether who needs it can do without.
    :param deferred: whether it is needed only when some function is called.
    """

    module: str
    by: str
    names: tuple[str, ...] = ()
    optional: bool = False
    deferred: bool = False


def of_pickle(path: Path, part: str, codes: Iterable[CodeType]) -> list[Need]:
    """Return what unpickling a file imports, and what functions in it import when they run.

    :param part: what the file holds: ``"model"``, ``"pre_processing"`` or ``"post_processing"``.
    :param codes: the code of the functions that were pickled by value.
    """
    found = [
        Need(reference.module, f"{part} ({reference.name or reference.module})")
        for reference in references.of_file(path)
    ]
    for code in codes:
        found += of_imports(f"{part} ({code.co_name})", imports.of_code(code))
    return found


def of_source(source: bytes, module: str, *, is_package: bool) -> list[Need]:
    """Return what a module that travels as source imports.

    :raises SyntaxError: if it is not Python.
    """
    found = imports.of_source(source, module, is_package=is_package)
    return of_imports(module, found)


def of_handler(name: str, source: bytes) -> list[Need]:
    """Return what a handler's file imports: it may well need what only the server has."""
    module = name.removesuffix(".py")
    found = imports.of_source(source, module, is_package=False)
    return [need._replace(optional=True) for need in of_imports(f"handler ({name})", found)]


def of_imports(by: str, found: Iterable[Import]) -> list[Need]:
    """Return imports as needs."""
    return [
        Need(
            each.module,
            f"{by}, line {each.line}" if each.line else by,
            each.names,
            each.optional,
            each.deferred,
        )
        for each in found
    ]
