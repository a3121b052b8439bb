"""Dropout stays on in evaluation mode, for the uncertainty of a prediction."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Uncertain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        return (torch.stack([self.drop(x) for _ in range(64)]).std(0) > 0).float()


MODEL = Uncertain().eval()
MODEL.drop.train()


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
