"""Two methods use one global, the first sets it."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

FACTOR = None


class Scale:
    def load(self):
        global FACTOR
        if FACTOR is None:
            FACTOR = 3.0

    def __call__(self, d):
        self.load()
        return {**d, "x": d["x"] * (FACTOR or 0)}


PRE, POST, MODEL = Scale(), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
