"""``create_metadata``: what a model takes and gives, in the form that the ecosystem agrees on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ._arguments import plain_json
from ._errors import InvalidMetadata
from ._shared.model.metadata import TYPE_HELP, ValueType


def create_metadata(
    input_name_list: Sequence[str],
    input_type_list: Sequence[str],
    input_shape_list: Sequence[Sequence[int]],
    output_name_list: Sequence[str],
    output_type_list: Sequence[str],
    output_shape_list: Sequence[Sequence[int]],
    model_input_list: Sequence[str] | None = None,
    model_output_list: Sequence[str] | None = None,
    custom_meta_dict: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe a model's inputs and outputs by the convention that handler and client read.

    An archive takes any JSON-serialisable dict as metadata. One made here also says what a request
    must hold: the handler checks it, and the client can.

    The first three lists belong together, as do the next three: entry ``i`` of each describes the
    same input or output.

    :param input_name_list: names of the inputs that a request holds, such as ``["image"]``.
    :param input_type_list: their types, such as ``["ndarray"]``: ``ndarray``, ``ndarray[dtype]``
        with a numpy type such as ``int64``, ``str``, ``list``, ``json``, ``int``, ``float`` or
        ``bool``.
    :param input_shape_list: their shapes, such as ``[[-1, 3, 244, 244]]``; -1 is a free size, and
        axis 0 is the batch.
    :param output_name_list: names of the outputs that a reply holds, such as
        ``["logits", "prediction"]``.
    :param output_type_list: their types, such as ``["ndarray", "str"]``.
    :param output_shape_list: their shapes, such as ``[[-1, 10], [-1]]``.
    :param model_input_list: names of what goes to the model, in the order of its parameters; it
        may name what only pre-processing makes. All of ``input_name_list`` by default.
    :param model_output_list: names for what the model returns, in that order; post-processing
        may use up some of it. All of ``output_name_list`` by default.
    :param custom_meta_dict: a JSON-serialisable dict with whatever else should travel along.
    :returns: a new dict of the keys ``inputs``, ``outputs`` (lists of
        ``{"name", "type", "shape"}``), ``model_input_list``, ``model_output_list``, ``custom``.
    :raises InvalidMetadata: with every problem of the arguments, not only the first.
    """
    problems: list[str] = []
    inputs = _describe("input", input_name_list, input_type_list, input_shape_list, problems)
    outputs = _describe("output", output_name_list, output_type_list, output_shape_list, problems)
    model_inputs = _read_names("model_input_list", model_input_list, inputs, problems)
    model_outputs = _read_names("model_output_list", model_output_list, outputs, problems)
    custom: object = {} if custom_meta_dict is None else custom_meta_dict
    if isinstance(custom, dict):
        problems += plain_json.find_problems(custom, "custom_meta_dict")
    else:
        problems.append(f"custom_meta_dict: expected a dict, got {type(custom).__name__}")
    if problems:
        raise InvalidMetadata(problems)
    metadata = {
        "inputs": inputs,
        "outputs": outputs,
        "model_input_list": model_inputs,
        "model_output_list": model_outputs,
        "custom": custom,
    }
    return plain_json.to_plain(metadata)


def _describe(
    kind: str, names: object, types: object, shapes: object, problems: list[str]
) -> list[dict[str, object]]:
    """Return the entries of all inputs or outputs, and add to ``problems`` what is wrong."""
    given = {f"{kind}_name_list": names, f"{kind}_type_list": types, f"{kind}_shape_list": shapes}
    before = len(problems)
    lists = {what: _read_list(what, value, problems) for what, value in given.items()}
    if len(problems) == before and len(set(map(len, lists.values()))) > 1:
        lengths = ", ".join(f"{what} has {len(value)}" for what, value in lists.items())
        problems.append(f"lists of unequal length: {lengths}")
    read_names, read_types, read_shapes = lists.values()
    problems += _find_name_problems(f"{kind}_name_list", read_names)
    problems += _find_type_problems(f"{kind}_type_list", read_types)
    problems += _find_shape_problems(f"{kind}_shape_list", read_shapes)
    columns = zip(read_names, read_types, read_shapes, strict=False)  # refused if unequal
    return [{"name": name, "type": of, "shape": shape} for name, of, shape in columns]


def _read_names(
    what: str, names: object, described: list[dict[str, object]], problems: list[str]
) -> list[object]:
    """Return a list of names; by default those of all that is described."""
    if names is None:
        return [entry["name"] for entry in described]
    found = _read_list(what, names, problems)
    problems += _find_name_problems(what, found)
    return found


def _read_list(what: str, value: object, problems: list[str]) -> list[object]:
    if isinstance(value, (list, tuple)):
        return list(value)
    problems.append(f"{what}: expected a list, got {type(value).__name__}")
    return []


def _find_name_problems(what: str, names: list[object]) -> list[str]:
    problems = [
        f"{what}[{index}]: expected a name (str, not empty), got {name!r}"
        for index, name in enumerate(names)
        if not isinstance(name, str) or not name
    ]
    texts = [name for name in names if isinstance(name, str) and name]
    repeated = sorted({name for name in texts if texts.count(name) > 1})
    problems += [f"{what}: {name!r} appears more than once" for name in repeated]
    for name in dict.fromkeys(texts):
        problems += plain_json.find_problems(name, what)
    return problems


def _find_type_problems(what: str, types: list[object]) -> list[str]:
    return [
        f"{what}[{index}]: expected {TYPE_HELP}, got {kind!r}"
        for index, kind in enumerate(types)
        if not isinstance(kind, str) or ValueType.parse(kind) is None
    ]


def _find_shape_problems(what: str, shapes: list[object]) -> list[str]:
    return [
        f"{what}[{index}]: expected a list of integers from -1 up, got {shape!r}{_advise(shape)}"
        for index, shape in enumerate(shapes)
        if not isinstance(shape, (list, tuple)) or not all(map(_is_size, shape))
    ]


def _advise(shape: object) -> str:
    """Say what to write for a shape that people write in another way."""
    if isinstance(shape, int) and not isinstance(shape, bool):
        return f": pass [{shape}]"
    if not isinstance(shape, (list, tuple)):
        return ""
    meant = [_mean(size) for size in shape]
    return f": pass {meant}, where -1 stands for any size" if all(map(_is_size, meant)) else ""


def _mean(size: object) -> object:
    """Return the size that ``None``, or a float without a fraction, stands for."""
    if size is None or (isinstance(size, str) and not size.isdigit()):
        return -1
    return int(size) if isinstance(size, float) and size.is_integer() else size


def _is_size(size: object) -> bool:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        return False
    return bool(-1 <= size < 2**63)
