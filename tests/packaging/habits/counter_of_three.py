"""Model and both steps count in one global."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

COUNT = 0


def count():
    global COUNT
    COUNT += 1
    return COUNT


class Net(torch.nn.Module):
    def forward(self, x):
        return x + count()


def pre(d):
    count()
    return d


def post(d):
    count()
    return {**d, "y": d["y"] * COUNT}


PRE, POST, MODEL = pre, post, Net()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
