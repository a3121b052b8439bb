"""The model takes two inputs, and the metadata names one of them."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def forward(self, x, mask):
        return x * mask


MODEL = Net()
REFUSED = "it takes 2 by position (x, mask), 2 of them needed, and gets 1 (x)"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
