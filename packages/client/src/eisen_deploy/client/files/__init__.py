"""Images from files to arrays and back, with their geometry.

>>> from eisen_deploy.client import files
>>> image = files.read("ct.nii.gz")  # doctest: +SKIP
>>> array, layout = files.to_model(image, shape=(-1, 1, -1, -1, -1))  # doctest: +SKIP
>>> mask = client.predict({"image": array})["mask"]  # doctest: +SKIP
>>> files.save("mask.nii.gz", files.from_model(mask, layout))  # doctest: +SKIP

The documentation of ``eisen-client`` explains which files are read and written, and how their axes
become those of an array. Each format has a module or a folder; the libraries that they need are
extras, and are imported when the first such file is met.

Errors are a :class:`FileError`. Their messages hold nothing of what the headers of files say, other
than sizes and positions: it can name a patient. Of a folder they name the files that are meant.
"""

from .axes import Layout, from_model, to_model
from .content import Content, Grid
from .errors import (
    FileError,
    GeometryMismatch,
    MissingExtra,
    UnreadableFile,
    UnsupportedFile,
    UnwritableFile,
)
from .formats import check_grid, read, save
from .orientation import Turn
from .segments import Segment

__all__ = [
    "Content",
    "FileError",
    "GeometryMismatch",
    "Grid",
    "Layout",
    "MissingExtra",
    "Segment",
    "Turn",
    "UnreadableFile",
    "UnsupportedFile",
    "UnwritableFile",
    "check_grid",
    "from_model",
    "read",
    "save",
    "to_model",
]
