"""A training script as users write them: all classes in ``__main__``. Packs each form twice."""

from __future__ import annotations

import enum
import json
import math
import sys
import typing
import warnings
import xml.etree.ElementTree  # noqa: ICN001 - only the package becomes a name of this script
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

SCALE = 2.0
LEFT_BEHIND = "no code refers to this"
T = typing.TypeVar("T", bound=float)


class Mode(enum.Enum):
    FAST = 1
    SLOW = 2
    SLOWEST = 2  # noqa: PIE796 - an alias

    def factor(self):
        return self.value + Mode.FAST.value


class Flags(enum.IntFlag):
    A = 1
    B = 2


@dataclass
class Settings(typing.Generic[T]):
    rate: float = 0.5
    tags: set = field(default_factory=lambda: {"spleen", "liver", "kidney", "lung"})


def is_even(n):
    return True if n == 0 else is_odd(n - 1)


def is_odd(n):
    return False if n == 0 else is_even(n - 1)


class Base(torch.nn.Module):
    names: typing.ClassVar = {"b", "a", "c"}

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)

    @staticmethod
    def scale(x):
        return x * SCALE

    @classmethod
    def width(cls):
        return len(cls.names)

    def forward(self, x):
        return self.scale(self.linear(x)) + self.width()


class Net(Base):
    def __init__(self):
        super().__init__()
        self.act = lambda x: torch.relu(x) + self.offset
        self.settings = Settings()
        self.mode = Mode.SLOWEST
        self.flags = Flags.A | Flags.B
        self.kind = Base

    @property
    def offset(self):
        return self.settings.rate

    def forward(self, x):
        return self.act(super().forward(x)) * self.mode.factor()


class Normalise:
    keys = frozenset({"image", "label", "mask", "weight"})

    def __init__(self, mean):
        self.mean = np.float32(mean)
        self.seen = {("a", 1), ("b", 2), frozenset({"x", "y"})}

    def __call__(self, batch):
        root = xml.etree.ElementTree.fromstring("<a b='3'/>")
        shift = int(root.get("b")) + is_even(10) + ("image" in {"image", "mask", "label"})
        return {key: np.asarray(value) - self.mean + shift for key, value in batch.items()}


def thresholds(limit):
    def post(batch):
        return {key: (value > limit) * math.pi for key, value in batch.items()}

    return post


def main(folder):
    torch.manual_seed(0)
    net = Net().eval()
    batch = torch.linspace(-1, 1, 6).reshape(2, 3)
    pre, post = Normalise(1.5), thresholds(0.25)
    image = {"image": [[0.5, -3.0, 9.0]]}
    (folder / "prediction.json").write_text(json.dumps(net(batch).tolist()))
    (folder / "transformed.json").write_text(json.dumps(post(pre(image))["image"].tolist()))
    plain = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).eval()
    dim = torch.export.Dim("batch")
    exported = torch.export.export(plain, (batch,), dynamic_shapes=({0: dim},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, by torch itself
        traced = torch.jit.trace(plain, batch)
        # What torch.jit.script makes depends on PYTHONHASHSEED, so both runs get the same one.
        scripted = torch.jit.load(sys.argv[2])
    metadata = create_metadata(["image"], ["ndarray"], [[-1, 3]], ["y"], ["ndarray"], [[-1, 2]])
    packer = EisenServingMAR(pre, post, metadata)
    models = {"eager": net, "traced": traced, "scripted": scripted, "export": exported}
    for out in (folder, folder / "again"):
        for name, model in models.items():
            packer.pack(model, out, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
