"""Functions of the script behind a decorator that counts."""

import functools

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

CALLS = {}


def counted(function):
    @functools.wraps(function)
    def wrapper(*args):
        CALLS[function.__name__] = CALLS.get(function.__name__, 0) + 1
        return function(*args)

    return wrapper


@counted
def pre(d):
    return d


@counted
def post(d):
    return {**d, "y": d["y"] + CALLS["pre"] * 10 + CALLS["post"]}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
