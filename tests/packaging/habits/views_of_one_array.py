"""Parts of one array belong to both steps, and one of them is written to."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

HISTORY = np.zeros((2, 4))


class Pre:
    def __init__(self):
        self.history, self.sums = HISTORY, HISTORY[0]

    def __call__(self, d):
        self.sums[:] = np.roll(self.sums, 1)
        self.sums[0] = d["x"].sum()
        self.history[1] += 1
        return d


class Post:
    last = HISTORY[:, ::2]

    def __call__(self, d):
        return {**d, "y": d["y"] + self.last.sum().astype(np.float32)}


PRE, POST, MODEL = Pre(), Post(), torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
