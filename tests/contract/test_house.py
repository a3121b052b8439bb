"""The rules of the house, held against the sources: who imports whom, which words stand where."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from house import find_circle, imported_by, modules_of, source_roots

ROOT = Path(__file__).resolve().parent.parent.parent
RUNTIME = ROOT / "packages" / "handler" / "src" / "eisen_deploy" / "serving" / "runtime"
ROOTS = {"runtime": RUNTIME, **source_roots(ROOT)}
#: What names a server, or a setting that only one has.
ENGINE_WORDS = re.compile(
    r"torchserve|\bjava\b|\bray\b|\buvicorn\b|max_re(sponse|quest)_size|responseTimeout",
    re.IGNORECASE,
)


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
    assert find_circle(root, lazily=False) == []


def test_the_runtime_has_no_circle_even_of_imports_inside_functions():
    assert find_circle(RUNTIME, lazily=True) == []


def test_only_the_adapter_knows_a_server():
    assert adapter_imports(RUNTIME) == []
    assert engine_words(RUNTIME) == []


@pytest.mark.parametrize(
    ("line", "where", "look"),
    [
        ("from .torchserve import rows", "session.py", adapter_imports),
        ("def f():\n    from ..torchserve import rows", "answering/pipeline.py", adapter_imports),
        ("# as responseTimeout says", "archive/loading.py", engine_words),
        ("from .answering import pipeline", "handler.py", lambda at: find_circle(at, lazily=False)),
        (
            "def f():\n    from ..session import Context",
            "answering/selftest.py",
            lambda at: find_circle(at, lazily=True),
        ),
    ],
)
def test_a_breach_is_found(tmp_path, line, where, look):
    planted = tmp_path / "runtime"
    shutil.copytree(RUNTIME, planted, ignore=shutil.ignore_patterns("__pycache__"))
    path = planted / where
    path.write_text(f"{path.read_text('utf-8')}\n{line}\n", "utf-8")
    assert look(planted) != []
