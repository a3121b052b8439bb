"""The second step asks the model once more, as for test-time augmentation."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return x * self.weight + self.calls


class Augmented:
    def __init__(self, model):
        self.model = model

    @torch.no_grad()
    def __call__(self, d):
        flipped = self.model(torch.as_tensor(np.array(d["x"][:, ::-1])))
        return {**d, "y": d["y"] + flipped.numpy()[:, ::-1]}


MODEL = Net()
PRE, POST = None, Augmented(MODEL)

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
