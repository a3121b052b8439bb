"""Which modules a pickle will import, read from its bytes; nothing is unpickled."""

from __future__ import annotations

import errno
import pickletools
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

# Called with the name of a module: by our pickler for modules, by dill for its own needs.
_IMPORTERS = {("importlib", "import_module"), ("dill._dill", "_import_module")}
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GLOBALS = {"GLOBAL", "INST", "STACK_GLOBAL"}


class Reference(NamedTuple):
    """What a pickle takes from a module: an attribute of it, or (an empty name) the module."""

    module: str
    name: str


_Value = str | Reference | None


def read_references(path: Path) -> list[Reference]:
    """Return what a pickle, or a model that :func:`torch.save` wrote, refers to; sorted."""
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(0)
        return _read_zip(file) if head == b"PK" else find_references(file.read())


def _read_zip(file: IO[bytes]) -> list[Reference]:
    try:
        with zipfile.ZipFile(file) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return sorted(
                {found for name in pickles for found in find_references(archive.read(name))}
            )
    except zipfile.BadZipFile as error:  # torch has just written it: zipfile hides the real error
        raise OSError(errno.EIO, str(error), file.name) from error


def find_references(data: bytes) -> list[Reference]:
    """Return what a pickle of any protocol refers to; sorted.

    :raises ValueError: if it is not a pickle.
    """
    return sorted(set(_follow(data)))


def _follow(data: bytes) -> Iterator[Reference]:
    """Follow what is pushed, as far as the names of globals need it: the last two values."""
    memo: dict[int, _Value] = {}
    pushed: deque[_Value] = deque([None, None], maxlen=2)
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = pushed[-1]
        elif opcode.name in _PUTS:
            memo[int(argument or 0)] = pushed[-1]
        elif opcode.name in _GETS:
            pushed.append(memo.get(int(argument or 0)))
        elif opcode.name in _GLOBALS:
            reference = _read_global(argument, pushed)
            pushed.append(reference)
            yield reference
        else:
            if opcode.name == "TUPLE1" and pushed[0] in _IMPORTERS:
                yield Reference(str(pushed[1]), "")
            if opcode.stack_after:
                pushed.append(argument if opcode.name in _STRINGS else None)


def _read_global(argument: str | None, pushed: deque[_Value]) -> Reference:
    """Return what GLOBAL and INST name by their argument, STACK_GLOBAL by two strings."""
    module, name = argument.split(" ", 1) if argument is not None else pushed
    if not isinstance(module, str) or not isinstance(name, str):
        # A ValueError, as pickletools raises for all that is not a pickle.
        raise ValueError("a pickle takes a global by something that is not a name")  # noqa: TRY004
    return Reference(module, name)
