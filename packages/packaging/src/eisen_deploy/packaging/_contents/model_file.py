"""The model as a file, written as its form has it; the model stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import torch

from eisen_deploy.packaging._arguments.model_argument import ModelArgument
from eisen_deploy.packaging._errors import ArchiveNotWritten, NotSerializable
from eisen_deploy.packaging._pickles import memory, pickle_files, pickler, torchscript
from eisen_deploy.packaging._pickles.object_graph import Graph
from eisen_deploy.packaging._pickles.pickler import PickledByValue

# torch's writer of zip files hides the system's error behind one of its own.
_SIGNS_OF_A_FULL_DISK = ("inline_container", "PytorchStreamWriter")


def write_model(model: ModelArgument, folder: Path, graph: Graph) -> PickledByValue:
    """Write a model into a folder, as the file of its form.

    :param graph: what the pickles of the archive share.
    :returns: what went by value.
    :raises NotSerializable: if something in the model has no form in a file.
    :raises ArchiveNotWritten: if the file system refuses.
    """
    packed, path = model.packed, folder / model.form.file
    with _explain_failures(), pickle_files.name_failures("model"):
        if isinstance(packed, torch.export.ExportedProgram):
            _save_program(packed, path)
        elif isinstance(packed, torch.jit.ScriptModule):
            torchscript.save_script(packed, path)
        else:
            return _save_module(packed, path, graph)
    return PickledByValue()


def _save_module(module: torch.nn.Module, path: Path, graph: Graph) -> PickledByValue:
    by_value = PickledByValue()
    own_pickler = pickler.make_pickler(graph, path.name, by_value)
    pickle_module = SimpleNamespace(__name__=pickler.__name__, Pickler=own_pickler)
    with pickle_files.open_with_deferred_errors(path) as file:
        torch.save(module, file, pickle_module=pickle_module, pickle_protocol=pickler.PROTOCOL)
    return by_value


def _save_program(program: torch.export.ExportedProgram, path: Path) -> None:
    # The example inputs that a program was traced with may be a patient's; no server needs them.
    copied = copy.copy(program)
    copied._example_inputs = None  # noqa: SLF001
    state, constants = program.state_dict, program.constants
    fixed = {key: value for key, value in constants.items() if isinstance(value, torch.Tensor)}
    cut = memory.cut_to_used({**state, **fixed})
    copied._state_dict = {name: cut[name] for name in state}  # noqa: SLF001
    copied._constants = {**constants, **{name: cut[name] for name in fixed}}  # noqa: SLF001
    with pickle_files.open_with_deferred_errors(path) as file:
        torch.export.save(copied, file)


@contextmanager
def _explain_failures() -> Iterator[None]:
    try:
        yield
    except (OSError, NotSerializable, pickler.PicklingFailed):
        raise
    except Exception as error:
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        if any(sign in reason for sign in _SIGNS_OF_A_FULL_DISK):
            raise ArchiveNotWritten(
                f"torch could not write the model, the disk may be full: {reason}"
            ) from error
        raise NotSerializable("model", f"{type(error).__name__}: {reason}") from error
