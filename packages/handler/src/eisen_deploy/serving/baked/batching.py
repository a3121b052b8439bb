"""Requests that may share a forward pass, in one.

They share it where the metadata leaves axis 0 of every input free. The model's inputs are
concatenated on axis 0 and its outputs split by each request's share. Where an output's axis 0 is
not the sum of the shares, or the common pass raises, the requests are left to run one by one.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from .service import EisenServingHandler

_log = logging.getLogger("eisen_deploy.serving")


@dataclass(frozen=True)
class _Share:
    """One request's part of a common pass."""

    index: int
    arguments: list[torch.Tensor]

    @property
    def size(self) -> int:
        return self.arguments[0].shape[0]


def infer_together(
    handler: EisenServingHandler, batches: Mapping[int, dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Run inference for the requests that can share a pass.

    :param batches: pre-processed batches by the index of their request.
    :returns: each of these that was run, with the model's outputs added; not those that have to
        run one by one.
    """
    if len(batches) < 2 or not handler.metadata.batchable:
        return {}
    inferred = {}
    for shares in _groups(handler, batches):
        for share, outputs in zip(shares, _run(handler, shares), strict=False):
            inferred[share.index] = {**batches[share.index], **outputs}
    return inferred


def _groups(
    handler: EisenServingHandler, batches: Mapping[int, dict[str, Any]]
) -> list[list[_Share]]:
    """Group the requests by dtype and shape, but for axis 0, of the model's arguments."""
    groups: dict[Any, list[_Share]] = defaultdict(list)
    for index, batch in batches.items():
        try:
            arguments = handler.model_arguments(batch)
        except Exception:  # noqa: BLE001, S112 - it raises again, for itself, when run alone
            continue
        if _can_share(arguments):
            key = tuple((argument.dtype, argument.shape[1:]) for argument in arguments)
            groups[key].append(_Share(index, arguments))
    return [shares for shares in groups.values() if len(shares) > 1]


def _can_share(arguments: Sequence[Any]) -> bool:
    tensors = [value for value in arguments if isinstance(value, torch.Tensor) and value.ndim]
    return len(tensors) == len(arguments) > 0 and len({len(value) for value in tensors}) == 1


def _run(handler: EisenServingHandler, shares: Sequence[_Share]) -> list[dict[str, Any]]:
    """Return each share's outputs, or nothing if these requests have to run one by one."""
    try:
        columns = zip(*(share.arguments for share in shares), strict=True)
        outputs = handler.run_model([torch.cat(column) for column in columns])
    except Exception as error:  # noqa: BLE001 - the one that causes it is found one by one
        _log.info("a batch of %d raised %s: one by one", len(shares), type(error).__name__)
        return []
    ends = list(accumulate(share.size for share in shares))
    if not all(_has_rows(value, ends[-1]) for value in outputs.values()):
        return []
    starts = [0, *ends[:-1]]
    return [
        {name: value[start:end] for name, value in outputs.items()}
        for start, end in zip(starts, ends, strict=True)
    ]


def _has_rows(value: Any, rows: int) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == rows
