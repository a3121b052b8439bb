"""An object that passes on what it is asked for, and a tuple and a number of the script."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Proxy:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Pair(tuple):
    def __new__(cls, first, second):
        return super().__new__(cls, (first, second))


class Degrees(int):
    def __new__(cls, value):
        return super().__new__(cls, value % 360)


STEP = Proxy([Pair(1, 2), Degrees(365)])


def pre(d):
    assert type(STEP.inner[0]) is Pair
    return {**d, "x": d["x"] * STEP.inner[0][1] + STEP.index(Degrees(5))}


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
