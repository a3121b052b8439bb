"""Requests that may share a forward pass, in one.

They share it where packaging has proven that the rows of a batch do not depend on each other, and
the metadata does not say otherwise. The model's inputs are concatenated on axis 0 and its outputs
split by each request's share. Where the common pass raises, or gives another number of rows, the
requests are left to run one by one.

What one request is given is never memory of another: shares are copied, and so are arrays that
pre-processing gave, since it may use their memory again for the next request.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeGuard

import numpy as np
import torch

from .._shared.wire.datatypes import Array
from ..handler import EisenServingHandler, is_overridden
from ..messages import Batch

_log = logging.getLogger("eisen_deploy.serving")


@dataclass(frozen=True)
class _Share:
    """One request's part of a common pass."""

    index: int
    arguments: Sequence[torch.Tensor]


def find_problem(handler: EisenServingHandler) -> str | None:
    """Say why the requests of a batch have to run one by one; ``None`` if they may share a pass."""
    for method in ("handle", "inference"):
        if is_overridden(handler, method):
            return f"the handler has {method} of its own"
    batches = handler.archive.batches
    return handler.metadata.batch_problem or (None if batches.shared else batches.reason)


def infer_together(handler: EisenServingHandler, batches: Mapping[int, Batch]) -> dict[int, Batch]:
    """Run inference for the requests that can share a pass.

    :param batches: pre-processed batches by the index of their request.
    :returns: each of these that was run, with the model's outputs added; not those that have to
        run one by one.
    """
    inferred = {}
    for shares in _group(handler, batches):
        for share, outputs in zip(shares, _run(handler, shares), strict=False):
            inferred[share.index] = {**batches[share.index], **outputs}
    return inferred


def _group(handler: EisenServingHandler, batches: Mapping[int, Batch]) -> list[list[_Share]]:
    """Group the requests by dtype and shape, but for axis 0, of the model's arguments."""
    groups: dict[tuple[object, ...], list[_Share]] = defaultdict(list)
    for index, batch in batches.items():
        try:
            arguments = handler.model_arguments(batch)
        except (Exception, SystemExit):  # noqa: BLE001, S112 - it raises again when run alone
            continue
        if can_share(arguments):
            key = tuple((argument.dtype, argument.shape[1:]) for argument in arguments)
            groups[key].append(_Share(index, arguments))
    return [shares for shares in groups.values() if len(shares) > 1]


def can_share(arguments: Sequence[object]) -> TypeGuard[Sequence[torch.Tensor]]:
    """Whether a model's arguments are all arrays, and of one length on axis 0."""
    tensors = [value for value in arguments if isinstance(value, torch.Tensor) and value.ndim]
    return len(tensors) == len(arguments) > 0 and len({len(value) for value in tensors}) == 1


def _run(handler: EisenServingHandler, shares: Sequence[_Share]) -> list[dict[str, Array]]:
    """Return each share's outputs, or nothing if these requests have to run one by one."""
    try:
        columns = zip(*(share.arguments for share in shares), strict=True)
        outputs = handler.run_model([torch.cat(column) for column in columns])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - who causes it is found one by one
        _log.info("a batch of %d raised %s: one by one", len(shares), type(error).__name__)
        return []
    return split(outputs, [len(share.arguments[0]) for share in shares])


def split(outputs: Mapping[str, object], sizes: Sequence[int]) -> list[dict[str, Array]]:
    """Return the rows of each output by the numbers of rows that were concatenated, as copies.

    :returns: nothing if an output does not have as many rows as all of them.
    """
    ends = list(accumulate(sizes))
    arrays = {
        name: value
        for name, value in outputs.items()
        if isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == ends[-1]
    }
    if len(arrays) < len(outputs):
        return []
    return [
        {name: array[start:end].copy() for name, array in arrays.items()}
        for start, end in pairwise([0, *ends])
    ]
