"""Two functions of the script keep what they know in a class."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Memory:
    seen = []


def pre(d):
    Memory.seen.append(float(d["x"].sum()))
    return d


def post(d):
    return {**d, "y": d["y"] + len(Memory.seen) + Memory.seen[-1]}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
