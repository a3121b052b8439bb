"""A step takes a function out of globals() by its name."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


def twice(x):
    return x * 2


def pre(d):
    globals()["RUNS"] = globals().get("RUNS", 0) + 1
    return {**d, "x": globals()["twice"](d["x"])}


def post(d):
    return {**d, "y": d["y"] + RUNS}  # noqa: F821


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
