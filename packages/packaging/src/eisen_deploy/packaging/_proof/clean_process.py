"""Load an archive where there is only what a server has; the script of a fresh interpreter.

It is run as a file with ``-I -S``, so that nothing installed is on the path, and imports nothing
that is. It gets its task as a line of JSON on its standard input, and writes the outcome to a file
or answers requests (:mod:`.exchange`). In it

* a module of a distribution is found if the distribution is one of the task's, and else is not
  there at all: no ``.pth`` file has run, and no working copy is reachable;
* a file is there if it lies in the archive, with Python, or in a folder of the system: others of
  this machine, such as those of its user, are not (C libraries, which open files by themselves,
  do find them).

The outcome names what was looked for in vain.
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
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NoReturn

if TYPE_CHECKING:
    from .exchange import Failure, Head, Link, Outcome, Task

_RUNTIME = "_eisen_serving"
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
        self.missing.setdefault(fullname, _find_caller())
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
            self.missing.setdefault(key, _find_caller())
            raise
        return value


def _find_caller() -> str:
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
    :param parts: what each file of the archive that will be unpickled is, by its path.
    """

    def __init__(self, folders: Iterable[str], parts: Mapping[str, str]) -> None:
        self.hidden: list[str] = []
        self.part = ""
        self._parts = parts
        self._folders = tuple(
            each.rstrip(os.sep) + os.sep
            for folder in folders
            for each in {os.path.abspath(folder), os.path.realpath(folder)}
        )

    def watch(self, event: str, arguments: tuple[object, ...]) -> None:
        """Refuse to open a file that is to be hidden; an audit hook (:pep:`578`)."""
        if event not in ("open", "os.listdir", "os.scandir", "ctypes.dlopen"):
            return
        path = arguments[0]
        if not isinstance(path, (str, bytes, os.PathLike)) or not path:
            return
        name = os.fsdecode(path)
        if event == "ctypes.dlopen" and not os.path.dirname(name):
            return  # a library that the system finds
        self.part = self._parts.get(os.path.abspath(name), self.part)
        if not self._may_be_opened(os.path.abspath(name)) and not self._may_be_opened(
            os.path.realpath(name)
        ):
            if os.path.exists(name):
                self.hidden.append(name)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)

    def _may_be_opened(self, path: str) -> bool:
        return f"{path}{os.sep}".startswith(self._folders)


def _describe_failure(error: BaseException, folder: str) -> Failure:
    """Return an error with all of its causes, and where the first of these was raised."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return {
        "type": type(error).__name__,
        "text": str(error).replace(folder, "<archive>")[:_TEXT],
        "differences": [list(found) for found in getattr(error, "differences", ())],
        "chain": [_describe_link(each, folder) for each in chain],
        "traceback": _format_frames(traceback.extract_tb(chain[-1].__traceback__)).replace(
            folder, "<archive>"
        ),
    }


def _describe_link(error: BaseException, folder: str) -> Link:
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    file = getattr(error, "filename", None) if isinstance(error, OSError) else None
    return {
        "type": type(error).__name__,
        "module": error.name if isinstance(error, ModuleNotFoundError) else None,
        "key": key if isinstance(key, str) else None,
        "file": file.replace(folder, "<archive>") if isinstance(file, str) else None,
    }


def _format_frames(frames: traceback.StackSummary) -> str:
    """Return the frames of the user's code, one a line; the last of all if there are none."""
    theirs = [frame for frame in frames if not _OURS.search(frame.filename)] or list(frames)
    lines = (f"  {f.filename}:{f.lineno} {f.name}: {f.line or ''}" for f in theirs[-_FRAMES:])
    return "\n".join(line.rstrip(": ") for line in lines)


def _exit_with_trace(status: int) -> NoReturn:
    """End the process as :func:`os._exit` does, but print who called it."""
    print(f"os._exit was called\n{_format_frames(traceback.extract_stack())}", flush=True)  # noqa: T201
    _end(status)


def read_states(modules: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the globals of modules, and the attributes of their classes, as far as they compare.

    :returns: by the name of each module, then by dotted name, what tells two values apart.
    """
    return {
        name: dict(_read_state(vars(sys.modules[name]), name, ""))
        for name in modules
        if name in sys.modules
    }


def _read_state(named: Mapping[str, object], module: str, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in list(named.items()):
        if name.startswith("__"):
            continue
        if isinstance(value, type) and value.__module__ == module and not prefix:
            yield from _read_state(vars(value), module, f"{name}.")
        elif isinstance(value, FunctionType):
            yield prefix + name, _fingerprint_code(value.__code__)
        elif value is None or isinstance(value, (bool, int, float, str, bytes)):
            yield prefix + name, repr(value)


def _fingerprint_code(code: CodeType) -> str:
    return f"{code.co_code.hex()} {code.co_names} {list(map(_fingerprint, code.co_consts))}"


def _fingerprint(value: object) -> str:
    if isinstance(value, CodeType):
        return _fingerprint_code(value)
    return str(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _find_captured_modules(folder: str) -> list[str]:
    """Return the modules that the archive brings, but for those of every archive."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(folder + os.sep):
            found.append(name)
    return [name for name in found if name.partition(".")[0] not in ("_eisen_serving", "dill")]


def _take_over(stream: int, replacement: int) -> int:
    """Return a descriptor of our own for a standard stream, and let user code find another one."""
    own = os.dup(stream)
    os.dup2(replacement, stream)
    return own


def _answer_all(session: Any, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests one by one until there are no more; first say that the archive is loaded."""
    request_class = importlib.import_module(f"{_RUNTIME}.messages").Request
    replies.write(b"loaded\n")
    replies.flush()
    while line := requests.readline():
        head: Head = json.loads(line)
        body = bytearray(head["size"])
        requests.readinto(body)  # type: ignore[attr-defined] # typeshed has it of one class less
        (reply,) = session.answer([request_class(_lower(head["headers"]), body)])
        about: Head = {"status": reply.status, "headers": dict(reply.headers), "size": reply.size}
        replies.writelines([json.dumps(about).encode() + b"\n", *reply.buffers])
        replies.flush()


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}


def _make_limits(options: Any) -> object:
    """Return what a server would allow, which is what the archive asks for."""
    limits = importlib.import_module(f"{_RUNTIME}.answering.limits").Limits
    seconds = options.response_timeout
    if seconds is None:
        return limits()
    budget = importlib.import_module(f"{_RUNTIME}.answering.budget").leave_margin(seconds)
    why = f"the archive's response_timeout is {seconds} s"
    return limits(seconds=budget, seconds_setting=why)


def main() -> None:
    """Do the task on the standard input, and end whatever threads are left."""
    requests = os.fdopen(_take_over(0, os.open(os.devnull, os.O_RDONLY)), "rb")
    task: Task = json.loads(requests.readline())
    replies = os.fdopen(_take_over(1, 2), "wb") if task["answers"] else None
    folder = task["folder"]
    faulthandler.enable()
    finder = Finder(task["roots"], task["distributions"], task["sites"])
    files = Files([*task["folders"], __file__], task["parts"])
    sys.meta_path.append(finder)
    sys.path.insert(0, folder)
    sys.addaudithook(files.watch)
    os.environ.__class__ = Variables
    os._exit = _exit_with_trace
    error: Failure | None = None
    states: dict[str, dict[str, str]] = {}
    try:
        opener = importlib.import_module(f"{_RUNTIME}.session").InferenceSession.open
        if replies is None:
            opener(Path(folder), gpu_id=task["gpu_id"], self_test=True)
        else:
            session = opener(Path(folder), gpu_id=task["gpu_id"], limits=_make_limits)
    except BaseException as raised:  # noqa: BLE001 - whatever it is, the outcome has it
        error = _describe_failure(raised, folder)
        states = read_states(_find_captured_modules(folder))
    if replies is not None and error is None:
        _answer_all(session, requests, replies)
        _end(0)
    outcome: Outcome = {
        "error": error,
        "part": files.part,
        "hidden": files.hidden,
        "missing": finder.missing,
        "variables": Variables.missing,
        "imported": [root for root in task["roots"] if root in sys.modules],
        "states": states,
    }
    report = Path(task["report"])
    report.with_suffix(".part").write_text(json.dumps(outcome), "utf-8")
    report.with_suffix(".part").replace(report)
    sys.stdout.flush()
    sys.stderr.flush()
    _end(0)


if __name__ == "__main__":
    main()
