"""A buffer is one row of the training set."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def __init__(self, data):
        super().__init__()
        self.register_buffer("reference", data[3])
        self.rows = [data[5], data[5:7]]
        self.column = data[:4, 1]

    def forward(self, x):
        return x - self.reference + self.rows[0] + self.rows[1][1] + self.column[2]


MODEL = Net(torch.arange(2000, dtype=torch.float32).reshape(-1, 2))


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
