"""A property that is computed once (it has a lock on Python 3.10 and 3.11)."""

import functools

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Scale:
    @functools.cached_property
    def factor(self):
        return 2.0

    def __call__(self, d):
        return {**d, "x": d["x"] * self.factor}


PRE, POST, MODEL = Scale(), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
