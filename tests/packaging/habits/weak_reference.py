"""The second step refers weakly to the first."""

import weakref

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Pre:
    factor = 3

    def __call__(self, d):
        self.factor += 1
        return d


class Post:
    def __init__(self, pre):
        self.pre = weakref.ref(pre)

    def __call__(self, d):
        return {**d, "y": d["y"] * self.pre().factor}


PRE = Pre()
POST, MODEL = Post(PRE), torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
