"""Rows that a pool of processes works on, with a function and a class of the script."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Row:
    def __init__(self, values):
        self.values = values


def work(row):
    return Row(row.values * 2)


def pre(d):
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        done = list(pool.map(work, [Row(row) for row in d["x"]]))
    return {**d, "x": np.stack([row.values for row in done])}


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
