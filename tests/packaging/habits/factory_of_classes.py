"""Classes that a function makes, each with what it was given."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


def scaled_by(factor):
    class Scaled(torch.nn.Module):
        made = 0

        def __init__(self):
            super().__init__()
            Scaled.made += 1

        def forward(self, x):
            return x * factor + type(self).made

    return Scaled


Double, Triple = scaled_by(2), scaled_by(3)
MODEL = torch.nn.Sequential(Double(), Triple(), Triple())


def post(d):
    return {**d, "y": d["y"] + isinstance(MODEL[1], Triple) + 2 * isinstance(MODEL[0], Triple)}


PRE, POST = None, post

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
