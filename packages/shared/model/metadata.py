"""The metadata dict as value objects, and a batch checked against it.

The convention is that of ``create_metadata``: ``inputs`` and ``outputs`` are lists of
``{"name", "type", "shape"}``, ``model_input_list`` and ``model_output_list`` are lists of names.
Metadata may be any JSON object, so whatever does not follow the convention counts as not
declared: it is passed through and not checked.
:mod:`.fields` reads its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput
from ..wire.allowance import UNLIMITED, Allowance
from .fields import TYPE_HELP, Field, ValueType, convert_undeclared

__all__ = ["AFFINE", "TYPE_HELP", "Field", "Metadata", "ValueType"]

#: What follows the name of an image in the name of the input with its affine: ``image_affine``.
AFFINE = "_affine"


@dataclass(frozen=True)
class Metadata:
    """What a model declares; ``None`` stands for what it does not."""

    inputs: tuple[Field, ...] | None = None
    outputs: tuple[Field, ...] | None = None
    model_inputs: tuple[str, ...] | None = None
    model_outputs: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Metadata:
        """Read a metadata dict; it never fails, see the module's docstring."""
        inputs, outputs = _read_fields(raw.get("inputs")), _read_fields(raw.get("outputs"))
        model_inputs = _read_names(raw.get("model_input_list"), inputs)
        model_outputs = _read_names(raw.get("model_output_list"), outputs)
        return cls(inputs, outputs, model_inputs, model_outputs)

    @property
    def batch_problem(self) -> str | None:
        """Why requests cannot share a forward pass by what is declared; ``None`` if they may.

        Axis 0 of every array input has to be free, and of every output of the model that has a
        declared shape.
        """
        arrays = [item for item in self.inputs or () if item.is_array]
        if not arrays:
            return "the metadata declares no input as an array"
        given = [item for item in self.outputs or () if item.name in (self.model_outputs or ())]
        fixed = [item.name for item in arrays if not item.has_free_first_axis]
        fixed += [
            item.name for item in given if item.shape is not None and not item.has_free_first_axis
        ]
        return f"the metadata does not free axis 0 of {', '.join(fixed)}" if fixed else None

    @property
    def input_names(self) -> frozenset[str] | None:
        """The names of the declared inputs."""
        return None if self.inputs is None else frozenset(item.name for item in self.inputs)

    def input_type(self, name: str) -> ValueType | None:
        """Return the declared type of an input, if it has one."""
        return next((item.type for item in self.inputs or () if item.name == name), None)

    def conform(
        self, batch: Mapping[str, object], allowance: Allowance = UNLIMITED
    ) -> dict[str, object]:
        """Return a batch as the declared inputs, converted where that loses nothing.

        :param batch: one request's inputs by name.
        :param allowance: what converted values may take.
        :raises InvalidInput: with every problem of the batch, not only the first.
        :raises BodyTooLarge: if they take more than is allowed.
        """
        if self.inputs is None:
            return {name: convert_undeclared(value) for name, value in batch.items()}
        problems, conformed = [], {}
        for item in self.inputs:
            if item.name not in batch:
                problems.append(f"{item.name}: is missing, expected {item.type or 'a value'}")
                continue
            try:
                conformed[item.name] = item.conform(batch[item.name], allowance)
            except InvalidInput as error:
                problems.extend(error.problems)
        known = {item.name: item for item in self.inputs}
        strays = [name for name in batch if name not in known]
        problems += [
            f"{name!s:.40}: is not an input of the model, which takes {', '.join(known)}"
            for name in strays[:8]
        ]
        problems = problems or self._row_problems(conformed)
        if problems:
            raise InvalidInput(problems)
        return conformed

    def _row_problems(self, conformed: Mapping[str, Any]) -> list[str]:
        """Explain which inputs of the model differ in their number of rows, if they do."""
        rows = {
            item.name: len(conformed[item.name])
            for item in self.inputs or ()
            if item.is_array and item.has_free_first_axis and item.name in (self.model_inputs or ())
        }
        if len(set(rows.values())) < 2:
            return []
        got = ", ".join(f"{count} of {name}" for name, count in rows.items())
        return [f"{', '.join(rows)}: expected as many rows (axis 0) of each, got {got}"]


def _read_fields(raw: object) -> tuple[Field, ...] | None:
    if not isinstance(raw, (list, tuple)) or not raw:
        return None
    fields = [Field.parse(item) for item in raw]
    known = [item for item in fields if item is not None]
    return tuple(known) if len(known) == len(fields) else None


def _read_names(raw: object, fields: tuple[Field, ...] | None) -> tuple[str, ...] | None:
    """Return a list of names; without one, the names of all fields."""
    if isinstance(raw, (list, tuple)) and raw and all(isinstance(name, str) for name in raw):
        return tuple(raw)
    return None if fields is None else tuple(item.name for item in fields)
