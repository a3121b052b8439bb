"""A function that the model calls was compiled."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


@torch.compile(backend="eager")
def swish(x):
    return x * torch.sigmoid(x)


class Net(torch.nn.Module):
    def forward(self, x):
        return swish(x)


MODEL = Net()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
