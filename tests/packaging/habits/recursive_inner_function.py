"""A function inside a function that calls itself, and reads a global."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

DEPTH = 3


def make():
    def halve(x, depth=None):
        depth = DEPTH if depth is None else depth
        return x if depth == 0 else halve(x / 2, depth - 1)

    return lambda d: {**d, "x": halve(d["x"])}


def post(d):
    global DEPTH
    DEPTH += 1
    return d


PRE, POST, MODEL = make(), post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
