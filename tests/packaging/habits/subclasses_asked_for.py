"""Steps that only their base class knows."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Step:
    def run(self, x):
        return x


class Double(Step):
    def run(self, x):
        return x * 2


class Shift(Step):
    def run(self, x):
        return x + OFFSET


class Twice(Double):
    def run(self, x):
        return super().run(super().run(x))


OFFSET = 3


def pre(d):
    x = d["x"]
    for kind in Step.__subclasses__():
        x = kind().run(x)
    (deepest,) = Step.__subclasses__()[0].__subclasses__()
    return {**d, "x": deepest().run(x)}


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
