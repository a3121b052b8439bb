"""Makes the files and archives that the pages speak of: ``python make_world.py``, in a folder."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path

import my_networks
import numpy as np
import torch
from net import Net
from PIL import Image

from eisen_deploy.client import files
from eisen_deploy.packaging import EisenServingMAR, create_metadata

SHAPE = [-1, 1, -1, -1, -1]
VOLUME = np.linspace(-100, 300, 24 * 20 * 12).reshape(24, 20, 12).astype(np.int16)
BATCH = VOLUME[None, None].astype(np.float32)
SEGMENTS = create_metadata(["image"], ["ndarray"], [SHAPE], ["mask"], ["ndarray"], [SHAPE])


class Affine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.factor * x + 1


class Mean(torch.nn.Module):
    def forward(self, image):
        return image.float().mean(dim=(1, 2, 3))


def write_data():
    torch.save(my_networks.UNet().state_dict(), "weights.pt")
    np.save("phantom.npy", BATCH)
    np.save("volume.npy", BATCH)
    np.save("x.npy", np.float32([[1, 2], [3, 4]]))
    np.savez("batch.npz", image=BATCH)
    grid = files.Grid(VOLUME.shape, np.diag([-0.8, -0.8, 3.0, 1.0]))
    files.save(Path("ct.nii.gz"), files.Content(VOLUME, grid=grid))
    Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)).save("photo.png")
    Path("config.properties").write_text("default_workers_per_model=1\n")
    Path("key_file.json").write_text(json.dumps({"inference": {"key": os.environ["KEY"]}}))
    Path("eisen.key").write_text(os.environ["KEY"])
    Path("key_file.json").chmod(0o600)


def pack_segmentations():
    """Pack one with a sample, and two more between which the network has changed."""
    source = Path("my_networks.py")
    packer = EisenServingMAR(None, None, SEGMENTS)
    packer.pack(my_networks.UNet(), "model_zoo", "seg", "1.2", sample={"image": BATCH})
    packer.pack(my_networks.UNet(), "old", "seg", "1.2")
    source.write_text(source.read_text().replace("0.1", "0.2"))
    importlib.reload(my_networks)
    packer.pack(my_networks.UNet(), "new", "seg", "1.3")
    packer.pack(Net(), ".", "seg", "1.0")


def pack_others():
    vectors = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    packer = EisenServingMAR(None, None, vectors)
    packer.pack(Affine(), "model_zoo")
    packer.pack(Affine(), ".", requirements=["nibabel"])
    packer.pack(Affine(), "model_zoo", "classify", "2.0", sample={"x": np.ones((1, 2))})
    fields = (["image", "age"], ["ndarray", "float"], [[-1, 3, -1, -1], []])
    skin = create_metadata(*fields, ["score"], ["ndarray"], [[-1]], model_input_list=["image"])
    EisenServingMAR(None, None, skin).pack(Mean(), "model_zoo", "skin")


write_data()
pack_segmentations()
pack_others()
