"""A step looks its class up in the script's module."""

import sys

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Twice:
    def __call__(self, x):
        return x * 2


def pre(d):
    return {**d, "x": getattr(sys.modules[__name__], "Twice")()(d["x"])}  # noqa: B009


PRE, POST, MODEL = pre, None, torch.nn.Identity()
REFUSED = "keep what it takes from there in a dict of your own"

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
