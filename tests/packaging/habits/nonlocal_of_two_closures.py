"""Two closures share a variable that the first rebinds."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


def make():
    top = None

    def pre(d):
        nonlocal top
        top = float(d["x"].max())
        return {**d, "x": d["x"] / top}

    def post(d):
        return {**d, "y": d["y"] * top}

    return pre, post


PRE, POST = make()
MODEL = torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
