"""Abstract classes, protocols and generic ones of the script."""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata

T = TypeVar("T")


class Step(ABC):
    @abstractmethod
    def run(self, x): ...

    def __call__(self, d):
        return {**d, "x": self.run(d["x"])}


class Shift(Step):
    def run(self, x):
        return x + 1


@Step.register
class Foreign:
    pass


@runtime_checkable
class Runs(Protocol):
    def run(self, x): ...


class Box(Generic[T]):
    def __init__(self, content: T):
        self.content = content


class Pre(Shift, Box[int]):
    def run(self, x):
        try:
            Step()
        except TypeError:
            x = x * self.content
        assert isinstance(self, Runs)
        assert not isinstance(3, Runs)
        assert issubclass(Foreign, Step)
        return super().run(x)


PRE, POST, MODEL = Pre(5), None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
