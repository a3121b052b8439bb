"""A mutable default argument is the memory of two functions."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

SEEN = []


def pre(d, seen=SEEN):
    seen.append(1)
    return d


def post(d, *, seen=SEEN):
    return {**d, "y": d["y"] + len(seen)}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
