"""A step that keeps the standard output to print to."""

import sys

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Pre:
    def __init__(self, out=sys.stdout, errors=sys.stderr):
        self.out, self.errors = out, errors

    def __call__(self, d):
        print("a request", file=self.out)
        print("a request", file=self.errors)
        return {**d, "x": d["x"] * 2}


PRE, POST, MODEL = Pre(), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
