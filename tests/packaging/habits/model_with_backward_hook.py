"""A hook takes the gradients of an inner layer."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Cam(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = torch.nn.Linear(2, 2)
        self.seen = []
        self.inner.register_full_backward_hook(self.keep)

    def keep(self, module, given, taken):
        self.seen.append(taken[0])

    def forward(self, x):
        self.seen.clear()
        with torch.enable_grad():
            self.inner(x).pow(2).sum().backward()
        return self.seen[0]


MODEL = Cam()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
