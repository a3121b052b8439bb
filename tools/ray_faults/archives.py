"""The archives: versions of one model, each of which answers otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The name of the model, and columns of its input.
NAME = "model"
COLUMNS = 4


@dataclass(frozen=True)
class Version:
    """One version of the model.

    :param number: what it adds to twice its input; its version is ``NUMBER.0``.
    :param digest: of the archive, as replies name it.
    """

    number: int
    path: Path
    digest: str


def pack(folder: Path, number: int) -> Version:
    """Pack a version into a folder of its own, unless it is there."""
    import numpy as np  # noqa: PLC0415 - the load does not need torch

    from eisen_deploy.packaging import EisenServingMAR, create_metadata  # noqa: PLC0415
    from eisen_deploy.serving.engines import served_archives  # noqa: PLC0415

    from .waiting_model import Waiting  # noqa: PLC0415

    array = (["ndarray[float64]"], [[-1, COLUMNS]])
    metadata = create_metadata(["x"], *array, ["y"], *array, model_output_list=["y"])
    sample = {"x": np.float64([[1, 2, 3, 0]])}
    packer, target = EisenServingMAR(None, None, metadata), folder / str(number)
    path = target / f"{NAME}.mar"
    if not path.exists():
        packer.pack(Waiting(number), target, NAME, f"{number}.0", sample=sample)
    [verified] = served_archives.verify([path])
    return Version(number, path, verified.digest)
