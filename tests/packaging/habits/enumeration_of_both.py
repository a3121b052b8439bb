"""One member of an enumeration goes from the first step to the second."""

import enum

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Mode(enum.Enum):
    LOW = 1
    HIGH = 2


class Pre:
    def __call__(self, d):
        return {**d, "mode": Mode.HIGH if d["x"].max() > 50 else Mode.LOW}


def post(d):
    return {**d, "y": d["y"] * (10 if d["mode"] is Mode.HIGH else 1)}


PRE, POST, MODEL = Pre(), post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
