"""The rules of the house, held against the sources: who imports whom, which words stand where."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUNTIME = ROOT / "packages" / "handler" / "src" / "eisen_deploy" / "serving" / "runtime"
ROOTS = {
    "runtime": RUNTIME,
    "handler": RUNTIME.parent,
    "packaging": ROOT / "packages" / "packaging" / "src" / "eisen_deploy" / "packaging",
    "client": ROOT / "packages" / "client" / "src" / "eisen_deploy" / "client",
    "shared": ROOT / "packages" / "shared",
}
#: What names a server, or a setting that only one has.
ENGINE_WORDS = re.compile(
    r"torchserve|\bjava\b|\bray\b|\buvicorn\b|max_re(sponse|quest)_size|responseTimeout",
    re.IGNORECASE,
)


def modules_of(root: Path) -> dict[str, Path]:
    """Return the modules below a folder by dotted name; links to folders are not followed."""
    found = (path for path in root.rglob("*.py") if "__pycache__" not in path.parts)
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in found}


def imported_by(name: str, path: Path, known: set[str], *, lazily: bool) -> Iterator[str]:
    """Yield the modules of the same package that a module imports.

    :param lazily: also inside functions; never for types alone.
    """
    tree = ast.parse(path.read_text("utf-8"))
    types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree) if lazily else tree.body:
        stem = stem_of(node, name.split(".")[:-1]) if id(node) not in types_only else None
        if stem is None:
            continue
        for alias in node.names:
            candidates = ([*stem, alias.name], stem, [*stem, "__init__"])
            found = next((each for each in map(".".join, candidates) if each in known), None)
            if found is not None:
                yield found


def stem_of(node: ast.AST, package: list[str]) -> list[str] | None:
    """Return what stands behind ``from``, seen from the root; ``None`` if it lies elsewhere."""
    if not isinstance(node, ast.ImportFrom):
        return None
    parts = node.module.split(".") if node.module else []
    if node.level:
        return package[: len(package) - node.level + 1] + parts
    return parts[2:] if parts[0] == "eisen_deploy" else None  # of the own distribution, or unknown


def circle_in(root: Path, *, lazily: bool) -> list[str]:
    """Return modules that import each other in a circle, if there are any."""
    modules = modules_of(root)
    edges = {
        name: set(imported_by(name, path, set(modules), lazily=lazily)) - {name}
        for name, path in modules.items()
    }
    waiting = dict(edges)
    while free := [name for name, to in waiting.items() if not to & set(waiting)]:
        for name in free:
            del waiting[name]
    return sorted(waiting)


def engine_words(runtime: Path) -> list[str]:
    """Return where the runtime, apart from its adapter, names a server."""
    return [
        f"{name}:{number}"
        for name, path in modules_of(runtime).items()
        if not name.startswith(("torchserve.", "_shared.")) and name != "__init__"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if ENGINE_WORDS.search(line)
    ]


def adapter_imports(runtime: Path) -> list[str]:
    """Return the modules of the runtime, apart from its adapter, that import the adapter."""
    modules = modules_of(runtime)
    return [
        name
        for name, path in modules.items()
        if not name.startswith("torchserve.")
        and any(
            other.startswith("torchserve.")
            for other in imported_by(name, path, set(modules), lazily=True)
        )
    ]


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_no_modules_import_each_other_in_a_circle(root):
    assert circle_in(root, lazily=False) == []


def test_the_runtime_has_no_circle_even_of_imports_inside_functions():
    assert circle_in(RUNTIME, lazily=True) == []


def test_only_the_adapter_knows_a_server():
    assert adapter_imports(RUNTIME) == []
    assert engine_words(RUNTIME) == []


@pytest.mark.parametrize(
    ("line", "where", "look"),
    [
        ("from .torchserve import rows", "session.py", adapter_imports),
        ("def f():\n    from ..torchserve import rows", "answering/pipeline.py", adapter_imports),
        ("# as responseTimeout says", "archive/loading.py", engine_words),
        ("from .answering import pipeline", "handler.py", lambda at: circle_in(at, lazily=False)),
        (
            "def f():\n    from ..session import Context",
            "answering/selftest.py",
            lambda at: circle_in(at, lazily=True),
        ),
    ],
)
def test_a_breach_is_found(tmp_path, line, where, look):
    planted = tmp_path / "runtime"
    shutil.copytree(RUNTIME, planted, ignore=shutil.ignore_patterns("__pycache__"))
    path = planted / where
    path.write_text(f"{path.read_text('utf-8')}\n{line}\n", "utf-8")
    assert look(planted) != []
