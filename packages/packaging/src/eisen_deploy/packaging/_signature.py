"""``create_metadata_from``: the metadata of a model as a sample shows it.

The sample goes the way of a request: through pre-processing, the model and post-processing, each
the user's own object. Types and shapes are what was seen; an axis is free where it was seen to be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from eisen_deploy.serving.runtime._shared.model.metadata import Metadata as HandlersMetadata
from eisen_deploy.serving.runtime.archive import items
from eisen_deploy.serving.runtime.archive.model import Model, find_keyword_positions
from eisen_deploy.serving.runtime.archive.outputs import name_outputs, to_numpy

from ._arguments import model_inputs
from ._arguments.handler_argument import Handler
from ._arguments.model_argument import parse_model
from ._errors import InvalidArgument, InvalidSample
from ._metadata import create_metadata
from ._pickles.torch_objects import unwrap
from ._proof.samples import in_evaluation_mode
from ._shared.command.terminal import align_columns, say
from ._shared.model.metadata import AFFINE, Metadata

Values = dict[str, Any]
Transform = Callable[[Values], Mapping[str, Any]]

_PLAIN: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "str", list: "list"}


def create_metadata_from(  # noqa: PLR0913 - each may be left out
    model: object,
    sample: Mapping[str, object],
    pre_processing: Transform | None = None,
    post_processing: Transform | None = None,
    *,
    other_sample: Mapping[str, object] | None = None,
    free_axes: Mapping[str, Sequence[int]] | None = None,
    model_input_list: Sequence[str] | None = None,
    model_output_list: Sequence[str] | None = None,
    custom_meta_dict: dict[str, Any] | None = None,
    show: Callable[[str], object] | None = say,
) -> dict[str, Any]:
    """Return the metadata of a model, with names, types and shapes as a sample shows them.

    The sample is run here, on the device where the model is. Axis 0 is free where the sample's
    rows, twice over, are answered with twice the rows; another axis where ``other_sample`` has
    another size, or where ``free_axes`` says so. Outputs are what post-processing adds, or without
    it what the model gives. Read what is shown; :func:`create_metadata` declares it by hand.

    :param sample: the inputs of one request by name, as for ``pack``.
    :param other_sample: the same inputs in other sizes.
    :param free_axes: further axes of any size, by the name of an input or output, such as
        ``{"image": [2, 3, 4], "mask": [2, 3, 4]}``.
    :param model_input_list: what goes to the model, in the order of its parameters. By default
        what is named as its parameters are, or else all arrays, if there are as many.
    :param model_output_list: names for what the model returns; by default its own, if it returns
        them by name, or else ``output``, or ``output_0``, ``output_1``, ....
    :param custom_meta_dict: as for :func:`create_metadata`.
    :param show: is called with a table of what was found, for review; ``None`` shows nothing.
    :returns: what :func:`create_metadata` returns.
    :raises UnsupportedModel: if the model cannot be packed.
    :raises InvalidSample: if the sample cannot be run, with the stage that failed.
    :raises InvalidArgument: if ``free_axes`` names what is not there.
    :raises InvalidMetadata: if what was found, or given, is no metadata.
    """
    trial = _Trial(model, pre_processing, post_processing, model_input_list, model_output_list)
    first = trial.run(_to_arrays(sample))
    seen = [first] if other_sample is None else [first, trial.run(_to_arrays(other_sample))]
    with suppress(InvalidSample):  # it may take just as many rows as there are
        seen.append(trial.run({name: _repeat_rows(value) for name, value in first.inputs.items()}))
    metadata = create_metadata(
        *_describe([each.inputs for each in seen], free_axes or {}, cast=first.casts),
        *_describe([each.outputs for each in seen], free_axes or {}),
        model_input_list=first.model_inputs,
        model_output_list=first.model_outputs,
        custom_meta_dict=custom_meta_dict,
    )
    _check_free_axes(free_axes or {}, first)
    if show is not None:
        show(render_signature(metadata))
    return metadata


def render_signature(metadata: Mapping[str, Any]) -> str:
    """Return inputs and outputs as a table for people."""
    rows = [
        (kind, field["name"], field["type"], field["shape"])
        for kind in ("input", "output")
        for field in metadata[f"{kind}s"]
    ]
    ways = [f"model: {', '.join(metadata[f'model_{kind}_list'])}" for kind in ("input", "output")]
    return "\n".join([*align_columns(rows), f"{ways[0]} -> {ways[1].removeprefix('model: ')}"])


@dataclass(frozen=True)
class _Seen:
    """What one run showed.

    :param casts: whether the model takes integers in its own floating type only.
    """

    inputs: Values
    outputs: Values
    model_inputs: list[str]
    model_outputs: list[str]
    casts: bool


@dataclass
class _Trial:
    """A model and its transforms, to be run."""

    model: object
    pre_processing: Transform | None
    post_processing: Transform | None
    input_names: Sequence[str] | None
    output_names: Sequence[str] | None
    casts: bool = False

    def run(self, inputs: Values) -> _Seen:
        """Run inputs.

        :raises InvalidSample: if that fails.
        """
        stated = self.input_names or ()
        prepared = _apply("pre_processing", self.pre_processing, inputs, stated)
        names = [*(stated or _choose_inputs(self.model, prepared))]
        if missing := [name for name in names if name not in prepared]:
            raise InvalidSample(f"sample: pre_processing gave no {', '.join(missing)}")
        given = self._infer(inputs, prepared, names)
        together = {**prepared, **given}
        result = _apply("post_processing", self.post_processing, together, names, [*given])
        before = together if self.post_processing is not None else prepared
        outputs = {name: result[name] for name in result if result[name] is not before.get(name)}
        outputs = {name: to_numpy(value, name) for name, value in (outputs or given).items()}
        return _Seen(inputs, outputs, names, [*given], self.casts)

    def _infer(self, inputs: Values, prepared: Values, names: list[str]) -> Values:
        """Run the model as a handler would; with integers as they are, if it takes them."""
        types, shapes = zip(*map(_describe_value, inputs.values()), strict=True)
        metadata = create_metadata([*inputs], types, shapes, [], [], [], model_input_list=names)
        argument = parse_model(self.model, Handler(), Metadata.parse(metadata))
        keywords = find_keyword_positions(names, argument.keywords)
        with in_evaluation_mode(argument) as module:
            model = Model(module, argument.device, keywords=keywords)
            while True:
                declared = _undeclare(metadata) if self.casts else metadata
                try:
                    return _call(model, prepared, names, declared, self.output_names)
                except Exception as error:
                    if self.casts or not any(map(_is_integer, prepared.values())):
                        raise _explain("the model", error) from error
                    self.casts = True


def _call(
    model: Model, prepared: Values, names: list[str], metadata: Values, output_names: object
) -> Values:
    declared = HandlersMetadata.parse(metadata)
    arguments = [
        model.prepare_argument(name, items.to_plain(prepared[name]), declared) for name in names
    ]
    return name_outputs(model(arguments), output_names)  # type: ignore[arg-type] # checked there


def _apply(what: str, transform: Transform | None, data: Values, *names: Sequence[str]) -> Values:
    """Return what a transform gives; it may change the dict that it is given."""
    if transform is None:
        return data
    try:
        return dict(items.apply(transform, dict(data), *names))
    except Exception as error:
        raise _explain(what, error) from error


def _explain(what: str, error: Exception) -> InvalidSample:
    return InvalidSample(f"sample: {what} raised {type(error).__name__}: {error}")


def _to_arrays(sample: object) -> Values:
    if not isinstance(sample, Mapping) or not sample:
        raise InvalidSample(f"sample: expected a dict of inputs by name, got {sample!r:.80}")
    return {name: to_numpy(value, str(name)) for name, value in sample.items()}


def _choose_inputs(model: object, prepared: Values) -> list[str]:
    """Return what goes to a model: what its parameters name, or all arrays if they are as many."""
    inner, _ = unwrap(model)
    affines = {f"{name}{AFFINE}" for name in prepared}
    arrays = [
        name
        for name, value in prepared.items()
        if isinstance(value, (np.ndarray, torch.Tensor)) and name not in affines
    ]
    parameters = model_inputs.find_parameters(inner) if isinstance(inner, torch.nn.Module) else None
    if parameters is None:
        return arrays
    named = [name for name in (*parameters.positional, *parameters.keywords) if name in prepared]
    if named and not [*model_inputs.find_misfits(parameters, named)]:
        return named
    if problems := [*model_inputs.find_misfits(parameters, arrays)]:
        raise InvalidSample(problems)
    return arrays


def _describe(
    seen: Sequence[Values], free_axes: Mapping[str, Sequence[int]], *, cast: bool = False
) -> tuple[list[str], list[str], list[list[int]]]:
    """Return names, types and shapes of what was seen in one or more runs."""
    names, types, shapes = [], [], []
    for name, value in seen[0].items():
        kind, shape = _describe_value(value)
        for each in seen[1:]:
            shape = _free(shape, _describe_value(each.get(name))[1])
        free = {axis % len(shape) for axis in free_axes.get(name, ()) if shape}
        names.append(name)
        types.append("ndarray" if cast and kind.startswith("ndarray") else kind)
        shapes.append([-1 if axis in free else size for axis, size in enumerate(shape)])
    return names, types, shapes


def _free(shape: list[int], other: list[int]) -> list[int]:
    if len(shape) != len(other):
        return [-1] * len(shape)
    return [size if size == there else -1 for size, there in zip(shape, other, strict=True)]


def _describe_value(value: object) -> tuple[str, list[int]]:
    """Return the type string and the shape of one value."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        is_float = value.dtype.kind == "f"
        return "ndarray" if is_float else f"ndarray[{value.dtype.name}]", list(value.shape)
    return _PLAIN.get(type(value), "json"), [-1]


def _undeclare(metadata: Values) -> Values:
    """Return metadata whose arrays have no element type: the model's own is used."""
    fields = [{**each, "type": each["type"].partition("[")[0]} for each in metadata["inputs"]]
    return {**metadata, "inputs": fields}


def _is_integer(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biu"


def _repeat_rows(value: object) -> object:
    """Return an array with its rows twice."""
    is_array = isinstance(value, np.ndarray) and value.ndim
    return np.concatenate([value, value]) if is_array else value


def _check_free_axes(free_axes: Mapping[str, Sequence[int]], seen: _Seen) -> None:
    problems = []
    for name, axes in free_axes.items():
        value = {**seen.inputs, **seen.outputs}.get(name)
        if not isinstance(value, np.ndarray):
            problems.append(f"free_axes: {name} is no array of the sample or of its outputs")
        elif any(not -value.ndim <= axis < value.ndim for axis in axes):
            problems.append(f"free_axes: {name} has {value.ndim} axes, got {list(axes)}")
    if problems:
        raise InvalidArgument(problems)
