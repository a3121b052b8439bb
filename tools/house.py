"""Figures about the source, and functions that check its rules: ``tools/house.py [CHECKOUT...]``.

For each checkout: lines, modules, the fullest folder, lengths of functions, how often a type is
``Any``, repeated lines, circles of imports, and how many modules of an archive's runtime a session
loads. The table has a column for each checkout, so that changes can be seen.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: This many equal lines in a row, in two places, are a repetition.
REPEATED = 6

_SESSION = """
import eisen_deploy, sys, tempfile, warnings, zipfile
eisen_deploy.__path__ = sys.argv[1:]
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from eisen_deploy.packaging import EisenServingMAR, create_metadata

metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
with tempfile.TemporaryDirectory() as folder:
    archive = EisenServingMAR(None, None, metadata).pack(torch.nn.Identity(), folder)
    folder = f"{folder}/unpacked"
    zipfile.ZipFile(archive).extractall(folder)
    sys.path.insert(0, folder)
    from _eisen_serving.session import InferenceSession
    InferenceSession.open(Path(folder))
    print(sum(name.startswith("_eisen_serving") for name in sys.modules))
"""


def source_roots(checkout: Path) -> dict[str, Path]:
    """Return the folders with the source of each package, by the package's name."""
    packages = checkout / "packages"
    named = {"packaging": "packaging", "handler": "serving", "client": "client"}
    roots = {name: packages / name / "src/eisen_deploy" / inner for name, inner in named.items()}
    return {**roots, "shared": packages / "shared"}


def modules_of(root: Path) -> dict[str, Path]:
    """Return the modules below a folder by dotted name; links to folders are not followed."""
    found = (path for path in root.rglob("*.py") if "__pycache__" not in path.parts)
    real = (path for path in found if path.resolve().is_relative_to(root.resolve()))
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in real}


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
        if isinstance(node, ast.ImportFrom) and id(node) not in types_only:
            stem = _stem_of(node, name.split(".")[:-1])
            for alias in node.names if stem is not None else ():
                candidates = ([*(stem or ()), alias.name], stem or (), [*(stem or ()), "__init__"])
                yield from [each for each in map(".".join, candidates) if each in known][:1]


def _stem_of(node: ast.ImportFrom, package: list[str]) -> list[str] | None:
    """Return the module after ``from``, relative to the root; ``None`` if it is elsewhere."""
    parts = node.module.split(".") if node.module else []
    if node.level:
        return package[: len(package) - node.level + 1] + parts
    return parts[2:] if parts[0] == "eisen_deploy" else None  # of the own distribution, or unknown


def find_circle(root: Path, *, lazily: bool) -> list[str]:
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


def figures_of(checkout: Path) -> dict[str, str]:
    """Return the figures of a checkout as texts, by their names."""
    roots = source_roots(checkout)
    paths = [path for root in roots.values() for path in modules_of(root).values()]
    lines = [path.read_text("utf-8").splitlines() for path in paths]
    count = sum(map(len, lines))
    folders = Counter(path.parent for path in paths)
    fullest, most = max(folders.items(), key=lambda item: item[1])
    lengths = sorted(length for path in paths for length in _lengths_of_functions(path))
    anys = sum(_count_any(path) for path in paths)
    circles = [name for root in roots.values() for name in find_circle(root, lazily=False)]
    return {
        "lines": f"{count}",
        "modules": f"{len(paths)}",
        "fullest folder": f"{most} ({fullest.name})",
        "folders of more than 12": f"{sum(number > 12 for number in folders.values())}",
        "lines of a function, median": f"{statistics.median(lengths):g}",
        "lines of a function, 90 %": f"{lengths[int(0.9 * len(lengths))]}",
        "lines of a function, most": f"{lengths[-1]}",
        "Any per 1,000 lines": f"{1000 * anys / count:.1f}",
        f"repetitions of {REPEATED} lines": f"{_count_repeated(lines)}",
        "modules in circles": f"{len(circles)}",
        "modules that a session loads": _count_loaded(checkout),
    }


def _lengths_of_functions(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def _count_any(path: Path) -> int:
    tree = ast.parse(path.read_text("utf-8"))
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def _count_repeated(files: list[list[str]]) -> int:
    """Return how many runs of equal lines are repetitions; blank lines do not count."""
    seen: set[tuple[str, ...]] = set()
    count = 0
    for lines in files:
        filled = [line.strip() for line in lines if line.strip()]
        free = 0  # behind the last repetition
        for start in range(len(filled) - REPEATED + 1):
            run = tuple(filled[start : start + REPEATED])
            if run in seen and start >= free:
                count, free = count + 1, start + REPEATED
            seen.add(run)
    return count


def _count_loaded(checkout: Path) -> str:
    """Return how many modules of the runtime a session loads; ``-`` where there is no session."""
    sources = [
        checkout / "packages" / name / "src/eisen_deploy" for name in ("packaging", "handler")
    ]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "session.py"
        script.write_text(_SESSION, "utf-8")
        command = [sys.executable, "-W", "ignore", str(script), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "-"


def main() -> None:
    """Print the figures of each checkout in a column."""
    checkouts = [Path(text).resolve() for text in sys.argv[1:]] or [ROOT]
    columns = [figures_of(checkout) for checkout in checkouts]
    for name in columns[0]:
        print(f"{name:32}" + "".join(f"{column[name]:>20}" for column in columns))


if __name__ == "__main__":
    main()
