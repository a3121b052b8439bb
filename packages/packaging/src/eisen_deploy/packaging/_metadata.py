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
    inputs = _Described("input", input_name_list, input_type_list, input_shape_list)
    outputs = _Described("output", output_name_list, output_type_list, output_shape_list)
    model_inputs = _Names("model_input_list", model_input_list, inputs.names)
    model_outputs = _Names("model_output_list", model_output_list, outputs.names)
    custom = {} if custom_meta_dict is None else custom_meta_dict
    parts = (inputs, outputs, model_inputs, model_outputs)
    problems = [problem for part in parts for problem in part.problems]
    problems += _find_custom_problems(custom)
    if problems:
        raise InvalidMetadata(problems)
    metadata = {
        "inputs": inputs.entries(),
        "outputs": outputs.entries(),
        "model_input_list": model_inputs.names,
        "model_output_list": model_outputs.names,
        "custom": custom,
    }
    return plain_json.to_plain(metadata)


class _Described:
    """The three lists of ``input_*`` or of ``output_*``, and what is wrong with them."""

    def __init__(self, kind: str, names: object, types: object, shapes: object) -> None:
        named = {
            f"{kind}_name_list": names,
            f"{kind}_type_list": types,
            f"{kind}_shape_list": shapes,
        }
        lists = {what: _as_list(value) for what, value in named.items()}
        self.names, self._types, self._shapes = (value or [] for value in lists.values())
        self.problems = [
            f"{what}: expected a list, got {type(named[what]).__name__}"
            for what, value in lists.items()
            if value is None
        ]
        if not self.problems and len({len(value or []) for value in lists.values()}) > 1:
            lengths = ", ".join(f"{what} has {len(value or [])}" for what, value in lists.items())
            self.problems.append(f"lists of unequal length: {lengths}")
        self.problems += _find_name_problems(f"{kind}_name_list", self.names)
        self.problems += _find_type_problems(f"{kind}_type_list", self._types)
        self.problems += _find_shape_problems(f"{kind}_shape_list", self._shapes)

    def entries(self) -> list[dict[str, object]]:
        return [
            {"name": name, "type": kind, "shape": shape}
            for name, kind, shape in zip(self.names, self._types, self._shapes, strict=True)
        ]


class _Names:
    """A list of names that has a default."""

    def __init__(self, what: str, names: object, default: list[object]) -> None:
        given = default if names is None else _as_list(names)
        self.names = given or []
        self.problems = [] if names is None else _find_name_problems(what, self.names)
        if given is None:
            self.problems = [f"{what}: expected a list, got {type(names).__name__}"]


def _as_list(value: object) -> list[object] | None:
    return list(value) if isinstance(value, (list, tuple)) else None


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
        f"{what}[{index}]: expected a list of integers from -1 up, got {shape!r}"
        for index, shape in enumerate(shapes)
        if not isinstance(shape, (list, tuple)) or not all(map(_is_size, shape))
    ]


def _is_size(size: object) -> bool:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        return False
    return bool(-1 <= size < 2**63)


def _find_custom_problems(custom: object) -> list[str]:
    if not isinstance(custom, dict):
        return [f"custom_meta_dict: expected a dict, got {type(custom).__name__}"]
    return plain_json.find_problems(custom, "custom_meta_dict")
