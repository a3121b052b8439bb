"""``model``: what is packed of it, and which of three forms that has.

====================================  ===========  ===========  ===============================
model                                 form         file         written by
====================================  ===========  ===========  ===============================
:class:`torch.nn.Module`              eager        model.pt     :func:`torch.save` with dill
:class:`torch.jit.ScriptModule`       torchscript  model.pt     itself, as torch.jit.save does
:class:`torch.export.ExportedProgram` export       model.pt2    :func:`torch.export.save`
====================================  ===========  ===========  ===============================
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import torch

from eisen_deploy.packaging._errors import UnsupportedModel
from eisen_deploy.packaging._pickles.torch_objects import find_compiled_submodules, unwrap
from eisen_deploy.packaging._shared.archive.allowed_values import TORCHSERVE_HANDLERS
from eisen_deploy.packaging._shared.model.metadata import Metadata

from . import model_checks, model_inputs
from .handler_argument import Handler
from .model_checks import Packable


@dataclass(frozen=True)
class Form:
    """One of the forms: its name in ``eisen.json``, and its file.

    :param is_pickle: whether the file refers to Python modules.
    """

    name: str
    file: str
    is_pickle: bool = False


EAGER = Form("eager", "model.pt", is_pickle=True)
TORCHSCRIPT = Form("torchscript", "model.pt")
EXPORT = Form("export", "model.pt2")


@dataclass(frozen=True)
class ModelArgument:
    """The argument ``model``.

    :param packed: what was passed, but for what training has wrapped around it.
    :param keywords: the inputs that it takes by name, as far as our handler calls it.
    :param training: its submodules that are in training mode while it is in evaluation mode.
    :param remarks: what the user should know of it.
    """

    packed: Packable
    form: Form
    keywords: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where its first tensor lies."""
        constants = getattr(self.packed, "constants", {}) if self.form is EXPORT else {}
        fixed = (value for value in constants.values() if isinstance(value, torch.Tensor))
        tensors = chain(self.packed.parameters(), self.packed.buffers(), fixed)
        first = next(tensors, None)
        return torch.device("cpu") if first is None else first.device


def find_form(model: object) -> Form | None:
    """Return the form that a model is packed in; ``None`` if it has none of the three."""
    inner, _ = unwrap(model)
    if isinstance(inner, torch.jit.ScriptModule):  # a Module as well
        return TORCHSCRIPT
    if isinstance(inner, torch.nn.Module):
        return EAGER
    return EXPORT if isinstance(inner, torch.export.ExportedProgram) else None


def parse_model(model: object, handler: Handler, metadata: Metadata) -> ModelArgument:
    """Return what is packed of a model. Nothing in it is run or pickled.

    :raises UnsupportedModel: with everything that keeps it from being packed.
    """
    form = find_form(model)
    inner, wrappers = unwrap(model)
    if form is None or not isinstance(inner, Packable):
        raise UnsupportedModel(model_checks.explain_no_model(model))
    problems = list(model_checks.find_problems(inner))
    if handler.entry in TORCHSERVE_HANDLERS and form is not TORCHSCRIPT:
        problems.append(
            f"model: TorchServe's {handler.entry} loads TorchScript only: pass a "
            "torch.jit.ScriptModule (torch.jit.script or torch.jit.trace make one)"
        )
    if problems:
        raise UnsupportedModel(problems)
    names = metadata.model_inputs
    parameters = model_inputs.find_parameters(inner) if handler.is_ours else None
    problems = list(model_inputs.find_misfits(parameters, names))
    if problems and handler.file is None:  # a subclass may call the model in its own way
        raise UnsupportedModel(problems)
    training = model_checks.find_training_modules(inner)
    return ModelArgument(
        inner,
        form,
        tuple(model_inputs.find_keywords(parameters, names)),
        tuple(training),
        (
            *_remark_on_model(inner, wrappers, training),
            *model_inputs.find_likely_mistakes(parameters, names),
        ),
    )


def _remark_on_model(model: Packable, wrappers: list[str], training: list[str]) -> list[str]:
    remarks = [f"model: packed without its {name}" for name in wrappers]
    compiled = find_compiled_submodules(model) if isinstance(model, torch.nn.Module) else []
    if compiled:
        remarks.append(
            f"model: packed without the torch.compile of {model_checks.join_names(compiled)} "
            '(serving={"compile": True} compiles the whole model on the server)'
        )
    if training:
        remarks.append(
            "model: it is in evaluation mode, and on the server as here these are in training "
            f"mode: {model_checks.join_names(training)} (call model.eval() first to change that)"
        )
    return remarks
