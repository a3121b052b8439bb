"""``serving``: the options for the server that travel with a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eisen_deploy.packaging._errors import InvalidServingOptions
from eisen_deploy.packaging._shared.model import serving_options
from eisen_deploy.packaging._shared.model.serving_options import ServingOptions

from .handler_argument import Handler
from .model_argument import EXPORT, TORCHSCRIPT, Form


def parse_serving(
    serving: Mapping[str, Any] | None, form: Form | None, handler: Handler
) -> ServingOptions | None:
    """Return the options that a user means by the argument ``serving``.

    :param serving: a dict, or ``None``; an empty one says as little.
    :param form: the form of the model, since not every option makes sense with each; ``None``
        where the model is refused anyway.
    :raises InvalidServingOptions: with every problem.
    """
    if serving is None:
        return None
    problems = serving_options.find_problems(serving)
    if not problems:
        options = ServingOptions(**serving)
        problems = [*_find_misfits(options, form, handler)]
    if problems:
        raise InvalidServingOptions(problems)
    return options if serving else None


def _find_misfits(options: ServingOptions, form: Form | None, handler: Handler) -> Iterator[str]:
    if form is TORCHSCRIPT and options.list_changed("compile"):
        yield (
            "serving.compile: torch.compile leaves TorchScript as it is: pack the torch.nn.Module, "
            "or leave the option out"
        )
    if form is EXPORT and options.list_changed("precision"):
        # Where types are converted, the program asserts those that it was traced with.
        yield (
            "serving.precision: an exported program is bound to the types it was exported with: "
            "export it under torch.autocast, or leave the option out"
        )
    if not handler.is_ours:
        for name in options.list_changed("precision", "compile", "self_test", "threads"):
            yield (
                f"serving.{name}: only EisenServingHandler and its subclasses read it, and "
                "handler= is another"
            )
