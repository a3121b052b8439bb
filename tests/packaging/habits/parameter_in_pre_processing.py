"""A step holds a parameter and a buffer of the model, and changes the buffer."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
        self.register_buffer("offset", torch.zeros(4))

    def forward(self, x):
        return x * self.weight + self.offset[:2]


class Pre:
    def __init__(self, net):
        self.weight, self.offset = net.weight, net.offset[1:3]  # a view

    def __call__(self, d):
        self.offset += 1
        return {**d, "x": d["x"] + self.weight.detach().numpy()}


MODEL = Net()
PRE, POST = Pre(MODEL), None

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
