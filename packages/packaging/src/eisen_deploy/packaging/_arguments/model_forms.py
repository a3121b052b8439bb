"""The forms that a model may have, and how each becomes a file.

====================================  ===========  =======================================
model                                 file         written by
====================================  ===========  =======================================
:class:`torch.nn.Module`              model.pt     :func:`torch.save` with dill
:class:`torch.jit.ScriptModule`       model.pt     the module itself, as torch.jit.save does
:class:`torch.export.ExportedProgram` model.pt2    :func:`torch.export.save`
====================================  ===========  =======================================

The model stays as it is: its modes, its device and its hooks are the user's.
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

from eisen_deploy.packaging._errors import ArchiveNotWritten, NotSerializable, UnsupportedModel
from eisen_deploy.packaging._pickles import pickling, tensors, torchscript
from eisen_deploy.packaging._pickles.deferred_errors import patient_file
from eisen_deploy.packaging._pickles.identity import Graph
from eisen_deploy.packaging._pickles.pickling import ByValue
from eisen_deploy.packaging._pickles.wrappers import compiled_names, unwrapped

from . import model_checks


@dataclass(frozen=True)
class Form:
    """One of the forms: its name in ``eisen.json``, its file, and what writes that.

    :param is_pickle: whether the file refers to Python modules.
    """

    name: str
    file: str
    save: Callable[[Any, Path, Graph], ByValue]
    is_pickle: bool = False


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
    raise UnsupportedModel(model_checks.problem_of_form(model))


def ready(model: object) -> tuple[Any, Form, list[str]]:
    """Return the model that is packed, its form, and what is to be said of it.

    It is what was passed, but for what training has wrapped around it.

    :raises UnsupportedModel: with everything that keeps it from being packed.
    """
    form_of(model)
    inner, wrappers = unwrapped(model)
    problems = list(model_checks.problems_of(inner))
    if problems:
        raise UnsupportedModel(problems)
    remarks = [f"model: packed without its {name}" for name in wrappers]
    compiled = compiled_names(inner) if isinstance(inner, torch.nn.Module) else []
    if compiled:
        remarks.append(
            f"model: packed without the torch.compile of {model_checks.listed(compiled)} "
            '(serving={"compile": True} compiles the whole model on the server)'
        )
    training = model_checks.training_names(inner)
    if training:
        remarks.append(
            "model: it is in evaluation mode, and on the server as here these are in training "
            f"mode: {model_checks.listed(training)} (call model.eval() first to have them not)"
        )
    return inner, form_of(inner), remarks


def write(model: object, form: Form, folder: Path, graph: Graph) -> ByValue:
    """Write a model into a folder, as the file of its form.

    :param graph: what the pickles of the archive share.
    :returns: what went by value.
    :raises NotSerializable: if something in the model has no form in a file.
    :raises ArchiveNotWritten: if the file system refuses.
    """
    with _failures_told(), pickling.failures_named("model"):
        return form.save(model, folder / form.file, graph)


def _save_eager(model: Any, path: Path, graph: Graph) -> ByValue:
    by_value = ByValue()
    pickler = pickling.pickler_of(graph, path.name, by_value)
    pickle_module = SimpleNamespace(__name__=pickling.__name__, Pickler=pickler)
    with patient_file(path) as file:
        torch.save(model, file, pickle_module=pickle_module, pickle_protocol=pickling.PROTOCOL)
    return by_value


def _save_torchscript(model: Any, path: Path, _: Graph) -> ByValue:
    torchscript.save(model, path)
    return ByValue()


def _save_export(model: Any, path: Path, _: Graph) -> ByValue:
    # The example inputs that a program was traced with may be a patient's; no server needs them.
    program = copy.copy(model)
    program._example_inputs = None  # noqa: SLF001
    state, constants = model.state_dict, model.constants
    fixed = {key: value for key, value in constants.items() if isinstance(value, torch.Tensor)}
    cut = tensors.cut_all({**state, **fixed})
    program._state_dict = {name: cut[name] for name in state}  # noqa: SLF001
    program._constants = {**constants, **{name: cut[name] for name in fixed}}  # noqa: SLF001
    with patient_file(path) as file:
        torch.export.save(program, file)
    return ByValue()


_EAGER = Form("eager", "model.pt", _save_eager, is_pickle=True)
_TORCHSCRIPT = Form("torchscript", "model.pt", _save_torchscript)
_EXPORT = Form("export", "model.pt2", _save_export)


# torch's writer of zip files hides the system's error behind one of its own.
_SIGNS_OF_A_FULL_DISK = ("inline_container", "PytorchStreamWriter")


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (OSError, NotSerializable, pickling.PicklingFailed):
        raise
    except Exception as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        if any(sign in reason for sign in _SIGNS_OF_A_FULL_DISK):
            raise ArchiveNotWritten(
                f"torch could not write the model, the disk may be full: {reason}"
            ) from error
        raise NotSerializable("model", f"{type(error).__name__}: {reason}") from error
