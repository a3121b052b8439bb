"""A decorator with the types of what it wraps, and a type of the script."""

from collections.abc import Callable, Sequence
from typing import NewType, ParamSpec, TypeVar

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

P = ParamSpec("P")
R = TypeVar("R")
Millimetres = NewType("Millimetres", float)


class Axis:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return Millimetres(index + 1.0)


Sequence.register(Axis)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        assert args or kwargs
        return function(*args, **kwargs)

    return wrapper


@checked
def pre(d, axis: "Axis | None" = Axis()) -> dict[str, Millimetres]:
    assert isinstance(axis, Sequence)
    return {**d, "x": d["x"] * axis[1] + len(axis)}


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
