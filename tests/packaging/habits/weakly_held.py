"""Observers that only the script itself holds, in weak containers."""

import weakref

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Observer:
    def __init__(self, weight):
        self.weight = weight


FIRST = Observer(2)
SECOND = Observer(3)
SEEN = weakref.WeakSet([FIRST])
BY_NAME = weakref.WeakValueDictionary(second=SECOND)


class Pre:
    def __init__(self):
        self.first, self.seen, self.by_name = weakref.ref(FIRST), SEEN, BY_NAME

    def __call__(self, d):
        factor = self.first().weight * sum(each.weight for each in self.seen)
        return {**d, "x": d["x"] * factor * self.by_name["second"].weight}


PRE, POST, MODEL = Pre(), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
