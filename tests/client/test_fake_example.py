"""How a program that uses the client is tested without a server; the documentation shows it."""

from __future__ import annotations

import numpy as np

from eisen_deploy.client import EisenServingClient, ServerBusy
from eisen_deploy.client.testing import FakeModel

METADATA = {
    "inputs": [{"name": "image", "type": "ndarray[float32]", "shape": [-1, 1, -1, -1, -1]}],
    "outputs": [{"name": "mask", "type": "ndarray", "shape": [-1, 1, -1, -1, -1]}],
}


def lung_volume(client, scan, voxel_ml):  # what is to be tested
    try:
        mask = client.predict({"image": scan[None, None]})["mask"]
    except ServerBusy:
        return None
    return float(mask.sum() * voxel_ml)


def test_the_volume_is_that_of_the_mask():
    model = FakeModel(METADATA, lambda inputs: {"mask": inputs["image"] < -500})
    client = EisenServingClient("http://test/predictions/lungs", transport=model)
    scan = np.full((4, 4, 4), -800, np.float32)
    assert lung_volume(client, scan, voxel_ml=0.5) == 32
    assert model.requests[0].inputs["image"].shape == (1, 1, 4, 4, 4)


def test_a_busy_server_gives_no_volume():
    model = FakeModel(METADATA, lambda inputs: {"mask": inputs["image"]})
    model.fail(ServerBusy)
    client = EisenServingClient("http://test/predictions/lungs", transport=model, retries=0)
    assert lung_volume(client, np.zeros((4, 4, 4), np.float32), voxel_ml=0.5) is None
