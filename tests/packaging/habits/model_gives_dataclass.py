"""The model gives a dataclass with a dataclass inside."""

import dataclasses

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


@dataclasses.dataclass
class Inner:
    scale: torch.Tensor


@dataclasses.dataclass
class Out:
    logits: torch.Tensor
    inner: Inner
    y: torch.Tensor = None


class Net(torch.nn.Module):
    def forward(self, x):
        return Out(x, Inner(2 * x), 3 * x)


MODEL = Net()


def answer_itself(d):
    return {"y": MODEL(torch.from_numpy(d["x"])).y.numpy()}


PRE = POST = None
METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[3, 5]], np.float32)}]
