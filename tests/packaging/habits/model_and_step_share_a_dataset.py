"""Model and post-processing hold overlapping rows of one tensor, one writes to them."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

DATA = torch.arange(2000, dtype=torch.float32).reshape(-1, 2)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = DATA[3:5]

    def forward(self, x):
        self.rows += 1
        return x + self.rows[0]


class Add:
    def __init__(self):
        self.row = DATA[4]

    def __call__(self, d):
        return {**d, "y": d["y"] + self.row.numpy()}


MODEL = Net()


PRE, POST = None, Add()
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
VARIES = True
