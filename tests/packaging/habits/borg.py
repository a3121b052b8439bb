"""All instances of a class have the same attributes."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class State:
    _all = {}

    def __init__(self):
        self.__dict__ = self._all


STATE = State()
STATE.requests = 0


class Pre(State):
    def __call__(self, d):
        self.requests += 1
        return d


def post(d):
    return {**d, "y": d["y"] * 10 + STATE.requests + State().requests}


PRE, POST, MODEL = Pre(), post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
