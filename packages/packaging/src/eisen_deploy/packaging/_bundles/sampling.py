"""A request that is made up, to prove an archive where there is no image at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eisen_deploy.packaging._shared.model.metadata import AFFINE

from .describing import find_formats, needs_affine
from .reading import Bundle

_SIZES = {2: 64, 3: 24}
_LARGEST = 1000.0
#: Voxels of 1.2 x 1.2 x 2 mm, their indices growing to the left, back and top.
_AFFINE = np.diag([-1.2, -1.2, 2.0, 1.0])


def make_sample(bundle: Bundle, metadata: dict[str, Any]) -> dict[str, NDArray[np.generic]]:
    """Return an image of smooth waves from -1000 to 1000, and its affine where it is needed."""
    name, _ = find_formats(bundle.meta, "inputs")
    _, channels, *sizes = metadata["inputs"][0]["shape"]
    typical = _SIZES.get(len(sizes), 24)
    shape = [typical + 4 * axis if size == -1 else size for axis, size in enumerate(sizes)]
    image = draw_waves(shape, channels).astype(bundle.dtype)
    sample: dict[str, NDArray[np.generic]] = {name: image[None]}
    if needs_affine(bundle):
        sample[f"{name}{AFFINE}"] = _AFFINE[None]
    return sample


def draw_waves(shape: Sequence[int], channels: int) -> NDArray[np.float64]:
    """Return an image of smooth waves from -1000 to 1000, (channels, ...)."""
    grid = np.meshgrid(*(np.linspace(0, 9, size) for size in shape), indexing="ij")
    waves = [
        sum(np.sin(axis + channel) for axis in grid) / len(grid) for channel in range(channels)
    ]
    return np.stack(waves) * _LARGEST
