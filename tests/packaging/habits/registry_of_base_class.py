"""A base class that enters each subclass under a name, which is required."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Step:
    known = {}
    made = []

    def __init_subclass__(cls, /, name, **more):
        super().__init_subclass__(**more)
        cls.known[name] = cls
        Step.made.append(cls)
        cls.tag = f"step {name}"


class Double(Step, name="double"):
    def __call__(self, x):
        return x * 2


class Quadruple(Double, name="quadruple"):
    def __call__(self, x):
        return super().__call__(super().__call__(x))


def pre(d):
    (kind,) = [each for each in Step.made if each.tag == "step quadruple"]
    assert kind is Step.known["quadruple"]
    return {**d, "x": kind()(d["x"]) + len(Step.made)}


class Post:
    def __call__(self, d):
        class Late(Step, name="late"):
            pass

        return {**d, "y": d["y"] + len(Step.made) + len(Step.known)}


PRE, POST, MODEL = pre, Post(), torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
