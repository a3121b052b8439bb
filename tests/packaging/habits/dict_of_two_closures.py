"""Two closures share a dict."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


def make():
    memory = {}

    def pre(d):
        memory["top"] = float(d["x"].max())
        return {**d, "x": d["x"] / memory["top"]}

    def post(d):
        return {**d, "y": d["y"] * memory["top"]}

    return pre, post


PRE, POST = make()
MODEL = torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
