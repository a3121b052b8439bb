"""What the script takes from its own module, that module's functions use as well."""

import numpy as np
import organs
import torch
from organs import OFFSETS, SEEN, WINDOW, total

from eisen_deploy.packaging import create_metadata

SEEN["factor"] = 2.0
organs.LATER = {"count": 0}
from organs import LATER  # noqa: E402 - set above


class Pre:
    window = WINDOW

    def __call__(self, d):
        SEEN["last"] = float(d["x"].max()) * SEEN["factor"]
        OFFSETS[:] += 1
        LATER["count"] += 1
        self.window.low += 5
        return {**d, "x": d["x"] + total()}


def post(d):
    return {**d, "y": d["y"] + total() + organs.SEEN["last"]}


PRE, POST, MODEL, VARIES = Pre(), post, torch.nn.Identity(), True

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
