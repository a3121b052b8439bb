"""Only the backbone was trained on several GPUs."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = torch.nn.DataParallel(torch.nn.Linear(2, 2))

    def forward(self, x):
        return self.backbone(x)


MODEL = Net()
REFUSED = "model.backbone: DataParallel wraps a module for training"


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
