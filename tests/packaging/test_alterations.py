"""The altered forms of a sample that the proof of batches runs."""

from __future__ import annotations

import numpy as np
import pytest

from eisen_deploy.packaging._proof import alterations


@pytest.mark.parametrize("name", alterations.ALTERATIONS)
def test_an_altered_image_keeps_its_affine(name):
    """Scaled by 100, an affine would have a transform make a million times as many voxels."""
    affines = np.stack([np.diag([2.0, 2, 2, 1]), np.diag([3.0, 3, 3, 1])])
    image = np.arange(12, dtype=np.float32).reshape(2, 1, 6)
    altered = alterations.alter(name, {"image": image, "image_affine": affines}, 7)
    assert len(altered["image_affine"]) == len(altered["image"])
    known = {each.tobytes() for each in affines}
    assert {each.tobytes() for each in altered["image_affine"]} <= known
    alone = alterations.alter(name, {"image": image}, 7)["image"]
    np.testing.assert_array_equal(altered["image"], alone)
