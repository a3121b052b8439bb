"""A mark is compared by identity in every step."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

MISSING = object()


class Pre:
    def __init__(self, factor=MISSING):
        self.factor = factor

    def __call__(self, d):
        return {**d, "factor": self.factor}


def post(d):
    return {**d, "y": d["y"] * (7 if d["factor"] is MISSING else 1)}


PRE, POST, MODEL = Pre(), post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
