"""What the first method remembers, the second reads."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Recentre:
    shift = 0.0

    def pre(self, d):
        self.shift = float(d["x"].max())
        return {**d, "x": d["x"] - self.shift}

    def post(self, d):
        return {**d, "y": d["y"] + self.shift}


both = Recentre()
PRE, POST, MODEL = both.pre, both.post, torch.nn.Identity()
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
