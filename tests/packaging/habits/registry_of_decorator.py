"""Steps in a registry that a decorator fills."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

STEPS = {}


def register(kind):
    STEPS[kind.__name__] = kind
    return kind


@register
class Twice:
    def __call__(self, d):
        return {**d, "x": d["x"] * 2}


@register
class Chain:
    def __init__(self, *names):
        self.names = names

    def __call__(self, d):
        for name in self.names:
            d = STEPS[name]()(d)
        return {**d, "x": d["x"] + len(STEPS)}


PRE, POST, MODEL = Chain("Twice", "Twice"), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
