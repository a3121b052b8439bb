"""What model, transforms and handler need to be loaded: modules, each with who needs it.

It is read from pickles, compiled code and source; nothing is run.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from .pickle_references import read_references

# Who catches one of these around an import can do without the module.
_CAUGHT = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


class Need(NamedTuple):
    """One module that is needed.

    :param module: absolute name.
    :param by: who needs it, as messages and ``eisen.json`` name it.
    :param names: what is taken from it; each may be an attribute or a submodule.
    :param optional: whether who needs it can do without.
    :param deferred: whether it is needed only when some function is called.
    """

    module: str
    by: str
    names: tuple[str, ...] = ()
    optional: bool = False
    deferred: bool = False


def find_needs_of_pickle(path: Path, part: str, codes: Iterable[CodeType]) -> list[Need]:
    """Return what unpickling a file imports, and what functions in it import when they run.

    :param part: what the file holds: ``"model"``, ``"pre_processing"`` or ``"post_processing"``.
    :param codes: the code of the functions that were pickled by value.
    """
    found = [
        Need(reference.module, f"{part} ({reference.name or reference.module})")
        for reference in read_references(path)
    ]
    for code in codes:
        found += find_needs_of_code(code, f"{part} ({code.co_name})")
    return found


def find_needs_of_handler(name: str, source: bytes) -> list[Need]:
    """Return what a handler's file imports: it may well need what only the server has."""
    found = _find_in_nodes(ast.parse(source).body, "", optional=True)
    return [each._replace(by=f"handler ({name}), {each.by}") for each in found]


def find_needs_of_source(source: bytes, module: str, *, is_package: bool) -> list[Need]:
    """Return what a module's source imports: at its top and inside functions.

    What only a type checker sees is left out, and what a module does as ``__main__``, which on a
    server it never is. :func:`importlib.import_module` counts where it is given a literal.

    :raises SyntaxError: if it is not Python.
    """
    package = module if is_package else module.rpartition(".")[0]
    found = _find_in_nodes(ast.parse(source).body, package, optional=False)
    return [each._replace(by=f"{module}, {each.by}") for each in found]


def find_needs_of_code(code: CodeType, by: str) -> list[Need]:
    """Return what compiled code imports by itself, not what functions inside it do."""
    optional = bool(_CAUGHT & set(code.co_names))
    found = []
    before: list[object] = [None, None]  # IMPORT_NAME follows the level and the names
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            level, names = before[-2:]
            name = _make_absolute(step.argval, level if isinstance(level, int) else 0, "")
            taken = tuple(names) if isinstance(names, tuple) else ()
            found.append(Need(name, by, taken, optional, deferred=True))
        before = [before[-1], step.argval]
    return found


def _find_in_nodes(nodes: Sequence[ast.AST], package: str, *, optional: bool) -> Iterator[Need]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Need(alias.name, f"line {node.lineno}", (), optional)
        elif isinstance(node, ast.ImportFrom):
            name = _make_absolute(node.module or "", node.level, package)
            names = tuple(alias.name for alias in node.names)
            yield Need(name, f"line {node.lineno}", names, optional)
        elif isinstance(node, ast.If) and _is_never_true(node.test):
            yield from _find_in_nodes(node.orelse, package, optional=optional)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner = _find_in_nodes(list(ast.iter_child_nodes(node)), package, optional=optional)
            yield from (each._replace(deferred=True) for each in inner)
        elif isinstance(node, ast.Try) and _is_caught(node):
            yield from _find_in_nodes([*node.body, *node.handlers], package, optional=True)
            yield from _find_in_nodes([*node.orelse, *node.finalbody], package, optional=optional)
        elif isinstance(node, ast.If) and _is_about_platform(node.test):
            yield from _find_in_nodes([*node.body, *node.orelse], package, optional=True)
        else:
            if isinstance(node, ast.Call) and (called := _find_called_import(node, package)):
                yield Need(called, f"line {node.lineno}", (), optional)
            yield from _find_in_nodes(list(ast.iter_child_nodes(node)), package, optional=optional)


def _make_absolute(name: str, level: int, package: str) -> str:
    """Return the absolute name of an import, as :pep:`328` says."""
    if not level:
        return name
    base = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*base, *([name] if name else [])])


def _is_never_true(test: ast.expr) -> bool:
    """Whether a server never sees a condition hold, in one part of ``and`` at least."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(map(_is_never_true, test.values))
    name = getattr(test, "attr", getattr(test, "id", None))
    return name == "TYPE_CHECKING" or _is_about_main(test)


def _is_about_main(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, *test.comparators]
    names = {getattr(side, "id", getattr(side, "value", None)) for side in sides}
    return names == {"__name__", "__main__"}


def _is_about_platform(test: ast.expr) -> bool:
    asked = {getattr(node, "attr", None) for node in ast.walk(test)}
    return bool(asked & {"version_info", "platform", "implementation"})


def _is_caught(node: ast.Try) -> bool:
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or getattr(kind, "id", None) in _CAUGHT for kind in kinds):
            return True
    return False


def _find_called_import(node: ast.Call, package: str) -> str | None:
    name = getattr(node.func, "attr", getattr(node.func, "id", None))
    if name not in ("import_module", "__import__") or not node.args:
        return None
    argument = node.args[0]
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        return None
    dots = len(argument.value) - len(argument.value.lstrip("."))
    return _make_absolute(argument.value[dots:], dots, package)
