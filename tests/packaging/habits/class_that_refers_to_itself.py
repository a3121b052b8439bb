"""Instances of a class in its own attributes, and its own name in its methods."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Axis:
    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        return isinstance(other, Axis) and other.number == self.number

    @classmethod
    def parse(cls, text):
        return Axis.known[text]

    @property
    def next(self):
        return Axis((self.number + 1) % 3)

    @staticmethod
    def count():
        return len(Axis.known)


Axis.X, Axis.Y = Axis(0), Axis(1)
Axis.known = {"x": Axis.X, "y": Axis.Y}
Axis.names = {Axis.X: "x", Axis.Y: "y"}


def pre(d):
    assert Axis.parse("x") is Axis.X
    return {**d, "x": d["x"] + Axis.parse("x").next.number}


def post(d):
    assert Axis.names[Axis(1)] == "y"
    return {**d, "y": d["y"] * Axis.count()}


PRE, POST, MODEL = pre, post, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
