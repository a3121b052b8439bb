"""Named tuples of both kinds, one with a method."""

from collections import namedtuple
from typing import NamedTuple

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

Size = namedtuple("Size", "rows columns", defaults=[2])


class Spacing(NamedTuple):
    row: float
    column: float = 0.5

    def area(self):
        return self.row * self.column

    @classmethod
    def unit(cls):
        return cls(1.0)._replace(column=1.0)


def pre(d):
    return {**d, "size": Size(len(d["x"])), "spacing": Spacing(3.0)}


def post(d):
    assert isinstance(d["size"], Size)
    assert Spacing.unit() == (1.0, 1.0)
    return {**d, "y": d["y"] * d["spacing"].area() + d["size"].columns}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
