"""The outputs are named in another order than that of the named tuple."""

import typing

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Out(typing.NamedTuple):
    features: torch.Tensor
    y: torch.Tensor


class Net(torch.nn.Module):
    def forward(self, x):
        return Out(x, 3 * x)


MODEL = Net()


def answer_itself(d):
    out = MODEL(torch.from_numpy(d["x"]))
    return {"y": out.y.numpy(), "features": out.features.numpy()}


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y", "features"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
