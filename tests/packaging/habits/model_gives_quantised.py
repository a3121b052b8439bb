"""The model gives a quantised tensor."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def forward(self, x):
        return torch.quantize_per_tensor(x, 0.5, 0, torch.qint8)


MODEL = Net()


def answer_itself(d):
    return {"y": MODEL(torch.from_numpy(d["x"])).dequantize().numpy()}


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
