"""Load an archive where there is nothing but what a server has; the script of a fresh interpreter.

It is run as a file with ``-I -S``, so that nothing installed is on the path, and imports nothing
that is. What it does comes as JSON on its standard input, what came of it goes to a file. In it

* a module of a distribution is found if the distribution is one of those told, and else is not
  there at all: no ``.pth`` file has run, and no working copy is reachable;
* a file is there if it lies in the archive, with Python, or in a folder of the system: others of
  this machine, such as those of its user, are not (they are for C libraries, which open by
  themselves).

What was looked for in vain is told with the outcome.
"""

# Paths are texts to the audit hook, which runs at every file that is opened.
# ruff: noqa: PTH100, PTH110, PTH118, PTH120
from __future__ import annotations

import errno
import faulthandler
import importlib
import importlib.abc
import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, ClassVar, NoReturn

_SESSION = "_eisen_serving.session"
_TEXT = 4000  # characters of an error's text
_FRAMES = 8
_end = os._exit
_BETWEEN = ("importlib", "_frozen_importlib", "pickle", "os", "collections", "_collections_abc")
_OURS = re.compile(r"[/\\](_eisen_serving|dill|importlib|torch)[/\\]|^<frozen |clean_process\.py$")


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of some distributions, and keeps a note of all others.

    It is asked last: the archive and the standard library have been searched by then.

    :param roots: folder of each package and module that may be found, by its dotted name.
    :param distributions: canonical names of the distributions whose metadata may be read.
    :param sites: the folders in which that lies.
    """

    def __init__(
        self, roots: Mapping[str, str], distributions: Iterable[str], sites: Sequence[str]
    ) -> None:
        self.missing: dict[str, str] = {}
        self._roots = roots
        self._sites = list(sites)
        self._distributions = frozenset(distributions)
        parts = [root.split(".") for root in roots]
        self._namespaces = {".".join(part[:i]) for part in parts for i in range(1, len(part))}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, see :class:`importlib.abc.MetaPathFinder`."""
        del path, target  # a namespace package's path is empty here, see below
        if fullname in self._roots:
            *parents, _ = fullname.split(".")
            return PathFinder.find_spec(fullname, [os.path.join(self._roots[fullname], *parents)])
        if fullname in self._namespaces:
            return ModuleSpec(fullname, None, is_package=True)
        self.missing.setdefault(fullname, _caller())
        return None

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterator[Distribution]:
        """Find metadata, see :class:`importlib.metadata.DistributionFinder`."""
        name = context.name if context else None
        folders = DistributionFinder.Context(name=name, path=self._sites)
        for found in MetadataPathFinder.find_distributions(folders):
            if re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower() in self._distributions:
                yield found


class Variables(type(os.environ)):  # type: ignore[misc] # a class that typeshed has as generic
    """The environment, which keeps a note of variables that are looked for and not set."""

    missing: ClassVar[dict[str, str]] = {}

    def __getitem__(self, key: str) -> str:
        try:
            value: str = super().__getitem__(key)
        except KeyError:
            self.missing.setdefault(key, _caller())
            raise
        return value


def _caller() -> str:
    """Return the name of the module that just imports or looks, and an empty text without one."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - as importlib itself does
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in _BETWEEN:
            return name
        frame = frame.f_back
    return ""


class Files:
    """Hides the files of this machine from Python, but for those in some folders.

    :param folders: what may be opened.
    :param payload: what each file of the archive that will be unpickled is.
    """

    def __init__(self, folders: Iterable[str], payload: Mapping[str, str]) -> None:
        self.hidden: list[str] = []
        self.part = ""
        self._payload = payload
        self._folders = tuple(
            each.rstrip(os.sep) + os.sep
            for folder in folders
            for each in {os.path.abspath(folder), os.path.realpath(folder)}
        )

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Refuse to open a file that is to be hidden; an audit hook (:pep:`578`)."""
        if event not in ("open", "os.listdir", "os.scandir", "ctypes.dlopen"):
            return
        path = arguments[0]
        if not isinstance(path, (str, bytes, os.PathLike)) or not path:
            return
        name = os.fsdecode(path)
        if event == "ctypes.dlopen" and not os.path.dirname(name):
            return  # a library that the system finds
        self.part = self._payload.get(os.path.abspath(name), self.part)
        if not self._is_open(os.path.abspath(name)) and not self._is_open(os.path.realpath(name)):
            if os.path.exists(name):
                self.hidden.append(name)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def _is_open(self, path: str) -> bool:
        return f"{path}{os.sep}".startswith(self._folders)


def _load(folder: str, gpu_id: int | None) -> bool:
    """Load the archive as a server does, and return whether its sample was replayed."""
    opened = importlib.import_module(_SESSION).InferenceSession.open(
        Path(folder), gpu_id=gpu_id, self_test=True
    )
    return opened.handler.archive.sample is not None


def _told(error: BaseException, folder: str) -> dict[str, Any]:
    """Return what is to be said of an error: all of its causes, and where the first was raised."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return {
        "type": type(error).__name__,
        "text": str(error).replace(folder, "<archive>")[:_TEXT],
        "differences": [list(found) for found in getattr(error, "differences", ())],
        "chain": [_link(each, folder) for each in chain],
        "traceback": _shown(traceback.extract_tb(chain[-1].__traceback__)).replace(
            folder, "<archive>"
        ),
    }


def _link(error: BaseException, folder: str) -> dict[str, Any]:
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    file = getattr(error, "filename", None) if isinstance(error, OSError) else None
    return {
        "type": type(error).__name__,
        "module": error.name if isinstance(error, ModuleNotFoundError) else None,
        "key": key if isinstance(key, str) else None,
        "file": file.replace(folder, "<archive>") if isinstance(file, str) else None,
    }


def _shown(frames: traceback.StackSummary) -> str:
    """Return the frames that are the user's, one a line; the last of all if none is."""
    theirs = [frame for frame in frames if not _OURS.search(frame.filename)] or list(frames)
    lines = (f"  {f.filename}:{f.lineno} {f.name}: {f.line or ''}" for f in theirs[-_FRAMES:])
    return "\n".join(line.rstrip(": ") for line in lines)


def _ended(status: int) -> NoReturn:
    """End the process as :func:`os._exit` does, but say who does it."""
    print(f"os._exit was called\n{_shown(traceback.extract_stack())}", flush=True)  # noqa: T201
    _end(status)


def states_of(modules: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the globals of modules, and the attributes of their classes, as far as they compare.

    :returns: by the name of each module, then by dotted name, what tells two values apart.
    """
    return {
        name: dict(_state(vars(sys.modules[name]), name, ""))
        for name in modules
        if name in sys.modules
    }


def _state(named: Mapping[str, Any], module: str, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in list(named.items()):
        if name.startswith("__"):
            continue
        if isinstance(value, type) and value.__module__ == module and not prefix:
            yield from _state(vars(value), module, f"{name}.")
        elif isinstance(value, FunctionType):
            yield prefix + name, _code(value.__code__)
        elif value is None or isinstance(value, (bool, int, float, str, bytes)):
            yield prefix + name, repr(value)


def _code(code: CodeType) -> str:
    return f"{code.co_code.hex()} {code.co_names} {list(map(_constant, code.co_consts))}"


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return _code(value)
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _captured(folder: str) -> list[str]:
    """Return the modules that the archive brings, but for those of every archive."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(folder + os.sep):
            found.append(name)
    return [name for name in found if name.partition(".")[0] not in ("_eisen_serving", "dill")]


def _payload(folder: str) -> dict[str, str]:
    """Return what each file of the archive that will be unpickled is, by its path."""
    about = json.loads((Path(folder) / "eisen.json").read_text("utf-8"))
    files = {"model": about["model"]["file"], **about["transforms"]}
    return {os.path.join(folder, file): part for part, file in files.items() if file}


def main() -> None:
    """Do what the standard input tells, and end whatever threads are left."""
    task = json.load(sys.stdin)
    folder = task["folder"]
    faulthandler.enable()
    finder = Finder(task["roots"], task["distributions"], task["sites"])
    files = Files([*task["folders"], __file__], _payload(folder))
    sys.meta_path.append(finder)
    sys.path.insert(0, folder)
    sys.addaudithook(files.watch)
    os.environ.__class__ = Variables
    os._exit = _ended
    outcome: dict[str, Any] = {"predicted": False, "error": None}
    try:
        outcome["predicted"] = _load(folder, task["gpu_id"])
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        outcome["error"] = _told(error, folder)
        outcome["states"] = states_of(_captured(folder))
    outcome.update(part=files.part, hidden=files.hidden, missing=finder.missing)
    outcome["variables"] = Variables.missing
    outcome["imported"] = [root for root in task["roots"] if root in sys.modules]
    report = Path(task["report"])
    report.with_suffix(".part").write_text(json.dumps(outcome), "utf-8")
    report.with_suffix(".part").replace(report)
    sys.stdout.flush()
    sys.stderr.flush()
    _end(0)


if __name__ == "__main__":
    main()
