"""A dict, an ordered dict and a list that do something of their own with each item."""

from collections import OrderedDict

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Logged:
    def __init__(self, *items):
        self.log = []
        super().__init__(*items)

    def __setitem__(self, key, value):
        self.log.append(key)
        super().__setitem__(key, value)


class Settings(Logged, dict):
    pass


class Steps(Logged, OrderedDict):
    pass


class Scales(list):
    def __init__(self, unit):
        self.unit = unit

    def append(self, item):
        super().append(item * self.unit)

    def extend(self, items):
        for item in items:
            self.append(item)


settings, steps, scales = Settings(), Steps(), Scales(10)
settings["self"], settings["shift"] = settings, 3
steps["b"], steps["a"] = 1, settings
steps.move_to_end("b")
scales.extend([1, 2])


def pre(d):
    return {**d, "x": d["x"] * sum(scales) + settings["self"]["shift"] + len(settings.log)}


def post(d):
    assert list(steps) == ["a", "b"]
    return {**d, "y": d["y"] + steps["a"]["shift"] + len(steps.log)}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
