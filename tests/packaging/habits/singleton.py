"""A class that has one instance, whichever way it is asked for."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Settings:
    _only = None

    def __new__(cls):
        if cls._only is None:
            cls._only = super().__new__(cls)
            cls._only.requests = 0
        return cls._only


Settings()


def pre(d):
    Settings().requests += 1
    return d


def post(d):
    return {**d, "y": d["y"] + Settings().requests}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
