"""TorchScript as bytes, also where it is a part of something that is pickled.

``torch.jit.save`` writes the storages of tensors whole, as ``torch.save`` does: see
:mod:`.memory`.
"""

from __future__ import annotations

import copy
import errno
import functools
import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import torch

from . import Reduced
from .memory import View, is_used_whole

Script = torch.jit.ScriptModule | torch.jit.ScriptFunction  # type: ignore[type-arg]

_PICKLES = ("data.pkl", "constants.pkl")
_Views = dict[tuple[str, int], set[View]]


def save_script(model: torch.jit.ScriptModule, path: Path) -> None:
    """Write a script module into a new file, with no more of its tensors than is used.

    :raises pickle.PicklingError: if a constant of its code is a part of a larger tensor.
    :raises OSError: if the file system refuses.
    """
    try:
        _save_what_is_used(model, path)
    except zipfile.BadZipFile as error:  # torch has just written it: zipfile hides the real error
        raise OSError(errno.EIO, str(error), str(path)) from error


def reduce_script(script: Script) -> Reduced:
    """Return what is pickled of a script module or function: its file, and what loads it.

    It is loaded on the CPU.
    """
    file = io.BytesIO()
    _save_what_is_used(script, file)
    load = functools.partial(torch.jit.load, map_location="cpu")
    return load, (io.BytesIO(file.getvalue()),)


def _save_what_is_used(script: Script, file: Path | io.BytesIO) -> None:
    _save(script, file)
    if not _is_cut(file):
        return
    if isinstance(script, torch.jit.ScriptModule):
        _save(copy.deepcopy(script), file)  # each tensor gets a storage of its own
        if not _is_cut(file):
            return
    raise pickle.PicklingError(
        "a constant of its TorchScript code is a part of a larger tensor, all of which would "
        "travel: clone() it before torch.jit makes the code"
    )


def _save(script: Script, file: Path | io.BytesIO) -> None:
    """Write a script into a file, in place of what is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, by torch itself
        if isinstance(file, io.BytesIO):
            file.seek(0)
            file.truncate()
            torch.jit.save(script, file)
        else:
            torch.jit.save(script, str(file))


def _is_cut(file: Path | io.BytesIO) -> bool:
    """Whether a storage in a file is not used whole by the tensors in it."""
    with zipfile.ZipFile(file) as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        for name in _PICKLES:
            if name in names:
                with archive.open(names[name]) as opened:
                    if not _Tensors(opened).are_storages_used_whole():
                        return True
    return False


class _Tensors(pickle.Unpickler):
    """Reads where the tensors of a pickle by ``torch.jit.save`` lie; calls nothing else."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._views: _Views = {}

    def are_storages_used_whole(self) -> bool:
        """Read the pickle; whether its tensors use every element of their storages."""
        self.load()
        return all(is_used_whole(size, views) for (_, size), views in self._views.items())

    def persistent_load(self, pid: tuple[str, int, str, str, int]) -> tuple[str, int, int]:
        """Return what stands for a storage: its key, the size of an element, how many it has."""
        _, kind, key, _, count = pid
        return key, kind, count

    def find_class(self, _module: str, name: str) -> object:
        """Return what stands for a class or function."""
        if name in ("_rebuild_tensor_v2", "_rebuild_qtensor"):
            return self._note_tensor
        if name.endswith("Storage"):
            return torch.storage._storage_type_to_dtype_map()[name].itemsize  # noqa: SLF001
        return OrderedDict if name == "OrderedDict" else _Nothing

    def _note_tensor(
        self,
        storage: tuple[str, int, int],
        offset: int,
        size: Iterable[int],
        stride: Iterable[int],
        *_: object,
    ) -> None:
        key, itemsize, count = storage
        view = View(offset, tuple(size), tuple(stride), itemsize)
        self._views.setdefault((key, count * itemsize), set()).add(view)


class _Nothing(dict):  # type: ignore[type-arg]
    """Takes whatever an object of a pickle is made of."""

    def __init__(self, *_: object) -> None:
        """Take it, and keep nothing."""

    append = extend = __setstate__ = __init__
