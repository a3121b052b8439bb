"""A global that is not there before a function has run."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


def table():
    global TABLE
    try:
        return TABLE
    except NameError:
        TABLE = {"runs": 0}
        return TABLE


def pre(d):
    table()["runs"] += 1
    return d


def post(d):
    return {**d, "y": d["y"] + TABLE["runs"]}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
