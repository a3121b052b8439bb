"""A metaclass that makes one instance of each class."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Singleton(type):
    made = {}

    def __call__(cls, *args):
        if cls not in cls.made:
            cls.made[cls] = super().__call__(*args)
        return cls.made[cls]


class Settings(metaclass=Singleton):
    def __init__(self, factor=1):
        self.factor = factor


Settings(5)


def pre(d):
    return {**d, "x": d["x"] * Settings().factor}


def post(d):
    return {**d, "y": d["y"] + len(Singleton.made)}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
