"""The forms that a model may have, and how each becomes a file.

====================================  ===========  =======================================
model                                 file         written by
====================================  ===========  =======================================
:class:`torch.nn.Module`              model.pt     :func:`torch.save` with dill
:class:`torch.jit.ScriptModule`       model.pt     the module itself, as torch.jit.save does
:class:`torch.export.ExportedProgram` model.pt2    :func:`torch.export.save`
====================================  ===========  =======================================

The model stays as it is: its mode, its device and its hooks are the user's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from . import _pickling
from ._errors import ArchiveNotWritten, NotSerializable, UnsupportedModel


@dataclass(frozen=True)
class Form:
    """One of the forms: its name in ``eisen.json``, its file, and what writes that."""

    name: str
    file: str
    save: Callable[[Any, Path], None]


def form_of(model: object) -> Form:
    """Return the form that a model has.

    :raises UnsupportedModel: if it has none of the three.
    """
    if isinstance(model, torch.jit.ScriptModule):  # a Module as well
        return _TORCHSCRIPT
    if isinstance(model, torch.nn.Module):
        return _EAGER
    if isinstance(model, torch.export.ExportedProgram):
        return _EXPORT
    hint = ": it is a class, pass an instance" if isinstance(model, type) else ""
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    raise UnsupportedModel(
        "model: expected a torch.nn.Module, torch.jit.ScriptModule or "
        f"torch.export.ExportedProgram, came {name}{hint}"
    )


def write(model: object, form: Form, folder: Path) -> None:
    """Write a model into a folder, as the file of its form.

    :raises NotSerializable: if something in the model has no form in a file.
    :raises ArchiveNotWritten: if the file system refuses.
    """
    with _failures_told(), _pickling.failures_named("model"):
        form.save(model, folder / form.file)


def _save_eager(model: Any, path: Path) -> None:
    pickle_module = SimpleNamespace(__name__=_pickling.__name__, Pickler=_pickling.Pickler)
    torch.save(model, path, pickle_module=pickle_module, pickle_protocol=_pickling.PROTOCOL)


def _save_torchscript(model: Any, path: Path) -> None:
    model.save(str(path))  # torch.jit.save does just this, and warns that it is deprecated


def _save_export(model: Any, path: Path) -> None:
    # The example inputs that a program was traced with may be a patient's; no server needs them.
    program = copy.copy(model)
    program._example_inputs = None  # noqa: SLF001
    torch.export.save(program, path)


_EAGER = Form("eager", "model.pt", _save_eager)
_TORCHSCRIPT = Form("torchscript", "model.pt", _save_torchscript)
_EXPORT = Form("export", "model.pt2", _save_export)


# torch's writer of zip files hides the system's error behind one of its own.
_SIGNS_OF_A_FULL_DISK = ("inline_container", "PytorchStreamWriter")


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (OSError, NotSerializable, _pickling.PicklingFailed):
        raise
    except Exception as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        if any(sign in reason for sign in _SIGNS_OF_A_FULL_DISK):
            raise ArchiveNotWritten(
                f"torch could not write the model, the disk may be full: {reason}"
            ) from error
        raise NotSerializable("model", f"{type(error).__name__}: {reason}") from error
