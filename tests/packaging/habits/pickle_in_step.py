"""A step copies and pickles instances of the script's classes."""

import copy
import pickle

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Item:
    def __init__(self, values):
        self.values = values


def pre(d):
    item = pickle.loads(pickle.dumps(copy.deepcopy(Item(d["x"]))))
    assert type(item) is Item
    return {**d, "x": item.values * 2}


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
