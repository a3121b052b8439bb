"""The model gives an expanded, conjugated view that needs gradients."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=torch.complex64) * (1 + 2j))

    def forward(self, x):
        with torch.enable_grad():
            return (self.weight * x[:, :1]).conj().imag.expand(-1, 2)


MODEL = Net()


def answer_itself(d):
    return {"y": MODEL(torch.from_numpy(d["x"])).detach().resolve_neg().numpy()}


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
