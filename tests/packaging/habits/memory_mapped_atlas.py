"""An atlas that is mapped from its file, and a part of it."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

with tempfile.TemporaryDirectory() as folder:
    np.save(Path(folder, "atlas.npy"), np.arange(6, dtype=np.float32).reshape(3, 2))
    ATLAS = np.load(Path(folder, "atlas.npy"), mmap_mode="c")


class Post:
    def __init__(self):
        self.row = ATLAS[1]

    def __call__(self, d):
        return {**d, "y": d["y"] + self.row + ATLAS.sum(axis=0)}


def pre(d):
    ATLAS[1] = d["x"].max()
    return d


PRE, POST, MODEL = pre, Post(), torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
