"""Transforms that take one item and not a batch: the dictionary transforms of MONAI.

They are recognised by their classes; MONAI is imported only where there is one. A batch is taken
apart into items, and put together again, with what MONAI's own loops use for that
(``decollate_batch`` and ``list_data_collate``), so that ``Invertd`` after the model finds the
operations that ran before it::

    batch                                     each item
    image         (N, C, ...) array           image         (C, ...) MetaTensor, channel first
    image_affine  (N, 4, 4) array             image.affine, in millimetres to the right, front and
                                              top (RAS); image_affine as well
    age           of another kind or length   age, as it is

The rows are those of the model's first input. What the model gave becomes MetaTensors with the
metadata of that input, as in MONAI's evaluators. A value that a transform leaves alone in each
item stays what it was in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from .._shared.model.metadata import AFFINE
from ..errors import InvalidInput, TransformFailed

Values = Mapping[str, Any]

_META_TENSOR = "monai.data.meta_tensor"
_CHANNEL_AND_SPACE = 2
# Types of numpy that torch stores and hardly computes with, and the next ones that it does.
_WIDER = {"uint16": "int32", "uint32": "int64"}


def list_steps(transform: object) -> Iterator[object]:
    """Yield the transforms of a MONAI transform, itself if it is no ``Compose``."""
    if _is_of_monai(transform, "Compose"):
        for step in transform.transforms:  # type: ignore[attr-defined]
            yield from list_steps(step)
    else:
        yield transform


def is_for_items(transform: object) -> bool:
    """Whether a transform takes items: a dictionary transform of MONAI, or a Compose of such.

    A ``Compose`` of functions alone takes whatever these take, and so batches.
    """
    return any(_is_of_monai(step, "MapTransform") for step in list_steps(transform))


def apply(
    transform: Callable[[Any], Any],
    batch: Values,
    model_inputs: Sequence[str] = (),
    model_outputs: Sequence[str] = (),
) -> Any:
    """Return what a transform makes of a batch, whether it takes batches or items.

    :param model_inputs: names of the model's inputs; the first one that is there has the rows.
    :param model_outputs: names of what the model gave, after it has run.
    :raises InvalidInput: if there are no rows.
    :raises TransformFailed: if items cannot be one batch any more.
    """
    if not is_for_items(transform):
        return transform(batch)
    before = _take_apart(batch, model_inputs, model_outputs)
    after = [transform(dict(item)) for item in before]
    for item in after:
        if not isinstance(item, Mapping):
            kind = type(item).__name__
            raise TransformFailed(f"a transform must give a dict for each item, gave {kind}")
    return dict(_put_together(batch, before, after))


def to_plain(value: object) -> object:
    """Return a tensor of MONAI as one of torch alone, without its metadata; others as they are."""
    is_meta = type(value).__module__ == _META_TENSOR
    return value.as_tensor() if is_meta else value  # type: ignore[attr-defined]


def _is_of_monai(transform: object, name: str) -> bool:
    return any(
        kind.__name__ == name and kind.__module__.startswith("monai.transforms.")
        for kind in type(transform).__mro__
    )


# --- from a batch to items ----------------------------------------------------------------


def _take_apart(
    batch: Values, model_inputs: Sequence[str], model_outputs: Sequence[str]
) -> list[dict[str, Any]]:
    first, count = _find_rows(batch, model_inputs)
    columns = {
        name: _split(value) if _count(value) == count else [value] * count
        for name, value in batch.items()
    }
    affines = {name: f"{name}{AFFINE}" for name in columns}
    for name in columns.keys() - {*model_outputs, *affines.values()}:
        places = columns.get(affines[name], [None] * count)
        columns[name] = list(map(_make_image, columns[name], places))
    for name in model_outputs:
        columns[name] = list(map(_make_like, columns[name], columns[first]))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _find_rows(batch: Values, model_inputs: Sequence[str]) -> tuple[str, int]:
    """Return the name of the value that has the rows, and their number."""
    for name in [*model_inputs, *batch]:
        if _count(batch.get(name)) is not None:
            if count := _count(batch[name]):
                return name, count
            raise InvalidInput(f"{name}: expected at least one row (axis 0), got none")
    raise TransformFailed("no array is there whose rows are the items of the batch")


def _count(value: object) -> int | None:
    """Return the number of rows of an array of numbers; ``None`` for anything else."""
    import numpy as np  # noqa: PLC0415 - what recognises transforms does without
    import torch  # noqa: PLC0415

    is_array = isinstance(value, torch.Tensor) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
    )
    return len(value) if is_array and value.ndim else None  # type: ignore[arg-type, attr-defined]


def _split(value: Any) -> list[Any]:
    """Return the rows of an array, each with its own part of MONAI's metadata."""
    from .model import as_tensor  # noqa: PLC0415 - needs torch

    wider = _WIDER.get(str(value.dtype))
    tensor = as_tensor(value if wider is None else value.astype(wider))
    rows: list[Any] = import_module("monai.data").decollate_batch(tensor)
    return rows


def _make_image(row: Any, affine: Any) -> Any:
    """Return a row with channels and at least one spatial axis as ``LoadImaged`` gives it."""
    if not _is_plain_tensor(row) or row.ndim < _CHANNEL_AND_SPACE:
        return row
    meta = {"original_channel_dim": 0, "spatial_shape": tuple(row.shape[1:])}
    if affine is not None:
        meta |= {"original_affine": affine, "space": "RAS"}
    return import_module(_META_TENSOR).MetaTensor(row, affine=affine, meta=meta)


def _make_like(row: Any, like: Any) -> Any:
    """Return a row of the model's output with the metadata of the input that it is made from."""
    if not _is_plain_tensor(row) or type(like).__module__ != _META_TENSOR:
        return row
    made = import_module(_META_TENSOR).MetaTensor(row)
    made.copy_meta_from(like)
    return made


def _is_plain_tensor(row: object) -> bool:
    return type(row).__module__ == "torch"


# --- and back -----------------------------------------------------------------------------


def _put_together(
    batch: Values, before: Sequence[Values], after: Sequence[Values]
) -> Iterator[tuple[str, object]]:
    for name in after[0]:
        if name in batch and _is_untouched(name, batch[name], before, after):
            yield name, batch[name]
        else:
            yield name, _collate(name, after)


def _is_untouched(
    name: str, value: object, before: Sequence[Values], after: Sequence[Values]
) -> bool:
    """Whether no item has another object, and what was written into one is in the batch as well."""
    import numpy as np  # noqa: PLC0415 - see _count

    if any(old[name] is not new.get(name) for old, new in zip(before, after, strict=True)):
        return False
    row: Any = to_plain(before[0][name])
    is_split = isinstance(value, np.ndarray) and _is_plain_tensor(row)
    return not is_split or np.may_share_memory(value, row.numpy())


def _collate(name: str, items: Sequence[Values]) -> object:
    values = [item.get(name) for item in items]
    shapes = {tuple(getattr(value, "shape", ())) for value in values}
    if len(shapes) > 1:
        found = ", ".join(str(list(shape)) for shape in sorted(shapes))
        raise TransformFailed(
            f"{name}: the items of the request have different shapes after the transform, and "
            f"cannot be one batch: {found}; send them one by one"
        )
    return import_module("monai.data").list_data_collate([{name: each} for each in values])[name]
