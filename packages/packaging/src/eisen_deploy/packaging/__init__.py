"""Pack a PyTorch model, its transforms and its metadata into one TorchServe archive (MAR).

* :func:`create_metadata` describes what a model takes and gives.
* :class:`EisenServingMAR` packs the model; ``pack`` is a straight line from the arguments over
  payload files and a verified staging folder to an archive that appears whole or not at all.
* Every error is an :class:`EisenPackagingError`.
"""

from ._errors import (
    ArchiveExists,
    ArchiveNotWritten,
    EisenPackagingError,
    IncompleteInstallation,
    InvalidArgument,
    InvalidFiles,
    InvalidHandler,
    InvalidMetadata,
    NotSerializable,
    UnsupportedModel,
)
from ._mar import EisenServingMAR
from ._metadata import create_metadata

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
    "NotSerializable",
    "UnsupportedModel",
    "create_metadata",
]
