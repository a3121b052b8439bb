"""Functions that call each other, one of them memoised."""

import functools

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


@functools.cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


PRE = lambda d: {**d, "x": d["x"] * fib(20)}  # noqa: E731
POST = lambda d: {**d, "y": d["y"] + even(10) + 2 * odd(10)}  # noqa: E731
MODEL = torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
