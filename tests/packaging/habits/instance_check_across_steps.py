"""What the first step makes is an instance of the second step's class."""

from dataclasses import dataclass

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


@dataclass
class Window:
    low: float
    high: float


def pre(d):
    window = Window(float(d["x"].min()), float(d["x"].max()))
    return {**d, "x": d["x"] - window.low, "window": window}


def post(d):
    assert isinstance(d["window"], Window)
    assert d["window"] == Window(d["window"].low, d["window"].high)
    return {**d, "y": d["y"] + d["window"].low}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
