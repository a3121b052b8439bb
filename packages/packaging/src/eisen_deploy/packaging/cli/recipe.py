"""Recipes: a Python file or module that gives what is to be packed.

``TARGET`` is ``path/to/recipe.py[:attribute]`` or ``package.module[:attribute]``. The attribute,
``package`` by default, is a mapping or a callable without arguments that returns one. Its keys are
the arguments of ``EisenServingMAR`` and of ``pack``.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from eisen_deploy.packaging._shared.printable import clean

from .errors import Failed

#: The arguments of ``EisenServingMAR`` and of ``pack``, which check them, by name.
Arguments = dict[str, Any]

#: Those of the constructor.
CONSTRUCTOR_KEYS = ("pre_processing", "post_processing", "meta_data", "handler")
_NAMES = ("model_name", "model_version", "additional_files")
_OPTIONS = ("sample", "tolerance", "code_paths", "requirements", "serving")
#: The keys that a recipe may have; ``metadata`` is taken for ``meta_data``.
KEYS = ("model", *CONSTRUCTOR_KEYS, *_NAMES, *_OPTIONS)

#: No server finds a module of this name, so what a recipe defines goes by value.
MODULE = "__eisen_recipe__"

_TARGET = re.compile(r"(?P<where>.+?)(?::(?P<attribute>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*))?")


def read_recipe(target: str) -> Arguments:
    """Run a recipe and return the arguments that it gives.

    :raises Failed: if there is no such recipe, if it raises, or with all problems of its keys.
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        raise Failed(f"TARGET: expected FILE.py[:ATTRIBUTE] or MODULE[:ATTRIBUTE], got {target!r}")
    where, attribute = match["where"], match["attribute"] or "package"
    with _explain_failures(where):
        module = _run_file(Path(where)) if where.endswith(".py") else _import(where)
    found = _get_attribute(module, where, attribute)
    if not isinstance(found, Mapping) and callable(found):
        with _explain_failures(f"{where}:{attribute}"):
            found = found()
    if not isinstance(found, Mapping):
        raise Failed(
            f"{where}:{attribute}: expected a mapping, or a callable that returns one, got "
            f"{type(found).__name__}"
        )
    return _check_keys(found, f"{where}:{attribute}")


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise Failed(f"TARGET: there is no file {clean(str(path))}")
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise Failed(f"TARGET: {path} cannot be run")
    module = sys.modules[MODULE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _import(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        hint = f"; for a file, write {name}.py" if Path(f"{name}.py").is_file() else ""
        raise Failed(f"TARGET: there is no module {name}{hint}")
    return importlib.import_module(name)


def _get_attribute(module: ModuleType, where: str, attribute: str) -> object:
    found: object = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise Failed(f"TARGET: {where} has no {attribute}: append :NAME for another name")
        found = getattr(found, name)
    return found


@contextmanager
def _explain_failures(what: str) -> Iterator[None]:
    """Turn whatever a recipe raises into one sentence, with the line of the recipe."""
    try:
        yield
    except Failed:
        raise
    except (Exception, SystemExit) as error:
        raise Failed(f"{what} raised {type(error).__name__}: {error}{_find_line(error)}") from error


def _find_line(error: BaseException) -> str:
    ours = Path(__file__).parent
    outside = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent != ours and not frame.filename.startswith("<frozen")
    ]
    return f" ({Path(outside[0].filename).name}, line {outside[0].lineno})" if outside else ""


def _check_keys(found: Mapping[str, object], what: str) -> Arguments:
    arguments = dict(found)
    problems = []
    if "metadata" in arguments:
        if "meta_data" in arguments:
            problems.append(f"{what}: metadata and meta_data mean the same: give one of them")
        arguments["meta_data"] = arguments.pop("metadata")
    if "model" not in arguments:
        problems.append(f"{what}: model is missing")
    problems += [
        f"{what}: {key!r} is not an argument of packing: the keys are {', '.join(KEYS)}"
        for key in arguments
        if key not in KEYS
    ]
    if problems:
        raise Failed(problems)
    return arguments
