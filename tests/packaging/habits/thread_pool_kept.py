"""A pool of threads that was made once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Pre:
    def __init__(self):
        self.pool = ThreadPoolExecutor(2)

    def __call__(self, d):
        return {**d, "x": np.stack(list(self.pool.map(np.sqrt, d["x"])))}


PRE, POST, MODEL = Pre(), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
