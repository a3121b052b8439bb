"""``serving=``: the options for the server that travel with a model, as ``model-config.yaml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._errors import InvalidServingOptions, ProofFailed
from eisen_deploy.packaging._remarks import remark
from eisen_deploy.packaging._shared.archive.batches import Batches
from eisen_deploy.packaging._shared.model import serving_options
from eisen_deploy.packaging._shared.model.serving_options import ServingOptions

from .model_forms import Form


def checked(
    serving: Mapping[str, Any] | None, form: Form, *, own_handler: bool = True
) -> ServingOptions | None:
    """Return the options that a user means by the argument ``serving``.

    :param serving: a dict, or ``None``; an empty one says as little.
    :param form: the form of the model, since not every option makes sense with each.
    :param own_handler: whether the archive's handler is :class:`EisenServingHandler` or a subclass
        of it; no other one reads what TorchServe does not know.
    :raises InvalidServingOptions: with every problem.
    """
    if serving is None:
        return None
    problems = serving_options.problems_of(serving)
    if not problems:
        options = ServingOptions(**serving)
        problems = [*_form_problems(options, form)]
        problems += [] if own_handler else _handler_problems(options)
    if problems:
        raise InvalidServingOptions(problems)
    return options if serving else None


def write(serving: Mapping[str, Any] | None, form: Form, folder: Path) -> str | None:
    """Write the options into a folder.

    :returns: the name of the file; ``None`` if there is nothing to say.
    :raises InvalidServingOptions: as :func:`checked`.
    """
    options = checked(serving, form)
    if options is None:
        return None
    name = serving_options.FILE_NAME
    (folder / name).write_bytes(serving_options.render(options))
    return name


def check_batches(serving: Mapping[str, Any] | None, batches: Batches) -> None:
    """Hold the batches that a user asks for against what the proof says of them.

    :raises ProofFailed: if the sample shows that requests cannot share a forward pass.
    """
    if (serving or {}).get("batch_size", 1) in (None, 1) or batches.shared:
        return
    if batches.tried:
        raise ProofFailed(
            f"serving.batch_size: requests cannot share a forward pass: {batches.reason}; leave "
            "the option out, and requests run one by one"
        )
    remark(f"serving.batch_size: requests will run one by one: {batches.reason}")


def _form_problems(options: ServingOptions, form: Form) -> Iterator[str]:
    if form.name == "torchscript" and options.changed("compile"):
        yield (
            "serving.compile: torch.compile leaves TorchScript as it is: pack the torch.nn.Module, "
            "or leave the option out"
        )
    if form.name == "export" and options.changed("precision"):
        # Where types are converted, the program asserts those that it was traced with.
        yield (
            "serving.precision: an exported program is bound to the types it was exported with: "
            "export it under torch.autocast, or leave the option out"
        )


def _handler_problems(options: ServingOptions) -> list[str]:
    return [
        f"serving.{name}: only EisenServingHandler and its subclasses read it, and handler= is "
        "another"
        for name in options.changed("precision", "compile", "self_test", "threads")
    ]
