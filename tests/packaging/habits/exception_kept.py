"""An exception, made of more than its message, that is kept to be raised."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class OutOfRange(ValueError):
    def __init__(self, limit, unit):
        super().__init__(f"above {limit} {unit}")
        self.limit = limit


TOO_HIGH = OutOfRange(50, "HU")


def pre(d):
    try:
        if d["x"].max() > TOO_HIGH.limit:
            raise TOO_HIGH
    except OutOfRange as error:
        return {**d, "x": np.minimum(d["x"], error.limit) + len(str(error))}
    return d


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
