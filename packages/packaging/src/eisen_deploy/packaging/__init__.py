"""Pack a PyTorch model, its transforms and its metadata into one TorchServe archive (MAR).

* :func:`create_metadata` describes what a model takes and gives.
* :func:`create_metadata_from` finds that out by running a sample.
* :class:`EisenServingMAR` packs the model; ``pack`` is a straight line from the arguments over
  payload files and a verified staging folder to an archive that appears whole or not at all.
* Every error is an :class:`EisenPackagingError`.

torch comes with the latter two, and numpy with :func:`create_metadata`, not before:
``eisen-pack inspect`` does without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._errors import (
    ArchiveExists,
    ArchiveNotWritten,
    EisenPackagingError,
    IncompleteInstallation,
    InvalidArgument,
    InvalidFiles,
    InvalidHandler,
    InvalidMetadata,
    InvalidRequirements,
    InvalidSample,
    InvalidServingOptions,
    NotSerializable,
    ProofFailed,
    UnresolvedCode,
    UnsupportedModel,
)

if TYPE_CHECKING:
    from ._mar import EisenServingMAR
    from ._metadata import create_metadata
    from ._signature import create_metadata_from

__all__ = [
    "ArchiveExists",
    "ArchiveNotWritten",
    "EisenPackagingError",
    "EisenServingMAR",
    "IncompleteInstallation",
    "InvalidArgument",
    "InvalidFiles",
    "InvalidHandler",
    "InvalidMetadata",
    "InvalidRequirements",
    "InvalidSample",
    "InvalidServingOptions",
    "NotSerializable",
    "ProofFailed",
    "UnresolvedCode",
    "UnsupportedModel",
    "create_metadata",
    "create_metadata_from",
]

_HOMES = {
    "EisenServingMAR": "._mar",
    "create_metadata": "._metadata",
    "create_metadata_from": "._signature",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
