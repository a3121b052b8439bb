"""A metaclass that enters each class, and makes its instances."""

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


class Meta(type):
    classes = []

    def __new__(mcs, name, bases, namespace):
        kind = super().__new__(mcs, name, bases, {**namespace, "made_by": "Meta"})
        mcs.classes.append(kind)
        return kind

    def __call__(cls, *args):
        made = super().__call__(*args)
        made.order = len(Meta.classes)
        return made

    def __setattr__(cls, name, value):
        raise AttributeError("classes of Meta do not change")


class Base(metaclass=Meta):
    pass


class Pre(Base):
    def __call__(self, d):
        assert Meta.classes == [Base, Pre], Meta.classes
        assert type(self).made_by == "Meta"
        return {**d, "x": d["x"] * self.order + Base().order}


PRE, POST, MODEL = Pre(), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
