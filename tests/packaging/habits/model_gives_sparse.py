"""The model gives a sparse tensor."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Net(torch.nn.Module):
    def forward(self, x):
        return (x * torch.tensor([0.0, 2.0])).to_sparse()


MODEL = Net()


def answer_itself(d):
    return {"y": MODEL(torch.from_numpy(d["x"])).to_dense().numpy()}


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
