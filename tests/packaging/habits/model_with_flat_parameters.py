"""The weights are views of one flat tensor; padding of it is not used."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        flat = torch.arange(100, dtype=torch.float32)
        self.weight = torch.nn.Parameter(flat[8:12].view(2, 2))
        self.bias = torch.nn.Parameter(flat[10:12])
        self.all = flat[4:16]

    def forward(self, x):
        self.all += 1
        return torch.nn.functional.linear(x, self.weight, self.bias)


MODEL = Net()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
VARIES = True
