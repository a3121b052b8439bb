"""Slots, descriptors that know their name, and classes inside classes."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Positive:
    def __set_name__(self, owner, name):
        self.name = f"_{name}"
        owner.checked = [*getattr(owner, "checked", []), name]

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if value <= 0:
            raise ValueError(self.name)
        setattr(instance, self.name, value)


class Pre:
    __slots__ = ("__hidden", "_scale", "memory")

    scale = Positive()

    class Memory(dict):
        def __missing__(self, key):
            return len(self)

    def __init__(self, scale):
        self.scale = scale
        self.memory = Pre.Memory()
        self.__hidden = 2

    def __call__(self, d):
        self.memory[float(d["x"].max())] = True
        assert Pre.checked == ["scale"]
        try:
            self.scale = -1
        except ValueError:
            return {**d, "x": d["x"] * self.scale * self.__hidden + self.memory["none"]}


PRE, POST, MODEL = Pre(3), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
