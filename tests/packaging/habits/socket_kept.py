"""A socket."""

import socket

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Pre:
    def __init__(self):
        self.held = socket.socket()

    def __call__(self, d):
        return {**d, "x": d["x"] * 2 if self.held else d["x"]}


PRE, POST, MODEL = Pre(), None, torch.nn.Identity()
REFUSED = "(at attribute held of Pre)"

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
