"""Whether the requests of a batch may share a forward pass of an archive's model.

They may only where packaging has proven that a row's outputs do not depend on the rows beside it.
``eisen.json`` holds the outcome and its reason, so packing, inspecting and serving show the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Batches:
    """What the proof of an archive says.

    :param shared: whether requests may share a pass.
    :param reason: what was proven, or why requests have to run one by one.
    :param tried: how many altered requests were run alone and in batches.
    :param refused: how many more the model or a transform refused to run alone.
    """

    shared: bool = False
    reason: str = "the archive was packed without a sample"
    tried: int = 0
    refused: int = 0


def is_batches(raw: object) -> bool:
    """Whether a value of ``eisen.json`` has the fields of :class:`Batches`, and no others."""
    kinds = {name: type(value) for name, value in asdict(Batches()).items()}
    return isinstance(raw, dict) and {name: type(value) for name, value in raw.items()} == kinds
