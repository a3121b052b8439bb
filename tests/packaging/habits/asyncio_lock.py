"""A lock of asyncio, held."""

import asyncio

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Pre:
    def __init__(self):
        self.held = asyncio.Lock()

    def __call__(self, d):
        async def twice():
            async with self.held:
                return d["x"] * 2

        return {**d, "x": asyncio.run(asyncio.wait_for(twice(), 5))}


PRE, POST, MODEL = Pre(), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
