"""A step catches the script's own exception that the model raises."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class TooBright(Exception):
    pass


def guarded(x):
    if float(x.max()) > 50:
        raise TooBright
    return x


class Net(torch.nn.Module):
    def forward(self, x):
        try:
            return guarded(x)
        except TooBright:
            return x * 0


def post(d):
    try:
        guarded(d["x"])
    except TooBright:
        return {**d, "y": d["y"] - 1}
    return d


PRE, POST, MODEL = None, post, Net()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
