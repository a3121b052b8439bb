"""The model optimises a displacement for each request, as registration does."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Register(torch.nn.Module):
    def forward(self, x):
        with torch.enable_grad():
            shift = torch.zeros_like(x, requires_grad=True)
            optimiser = torch.optim.SGD([shift], lr=0.1)
            for _ in range(5):
                optimiser.zero_grad()
                (x - shift).pow(2).sum().backward()
                optimiser.step()
        return shift.detach()


MODEL = Register()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
