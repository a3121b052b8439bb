"""A function deletes a global that another one looks for."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

WARM_UP = True


def forget():
    global WARM_UP
    del WARM_UP


def pre(d):
    if "WARM_UP" in globals():
        forget()
        return {**d, "x": d["x"] * 2}
    return d


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
