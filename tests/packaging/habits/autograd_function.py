"""An own function of autograd, and a gradient in the forward pass."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class Net(torch.nn.Module):
    def forward(self, x):
        return Double.apply(x)


PRE, POST, MODEL = None, None, Net()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
