"""A step takes functions by names that nobody knows beforehand."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


def step_1(x):
    return x * 2


def pre(d):
    return {**d, "x": globals()[f"step_{len(d)}"](d["x"])}


PRE, POST, MODEL = pre, None, torch.nn.Identity()
REFUSED = "pre uses globals() with names that show only when it runs"

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
