"""Dataclasses with slots, keywords only, fields that are made, and asked for their fields."""

import dataclasses
from dataclasses import KW_ONLY, InitVar, dataclass, field, fields
from typing import ClassVar

import numpy as np
import torch

from eisen_deploy.packaging import create_metadata


@dataclass(frozen=True, slots=True)
class Window:
    low: float = 0.0
    high: float = 1.0


@dataclass
class Settings:
    registry: ClassVar[list] = []
    scale: float
    shift: InitVar[float]
    _: KW_ONLY
    windows: list = field(default_factory=lambda: [Window()])
    total: float = field(init=False)

    def __post_init__(self, shift):
        self.total = self.scale + shift
        self.registry.append(self)


SETTINGS = Settings(2.0, 3.0)


def pre(d):
    names = [each.name for each in fields(Settings)]
    assert names == ["scale", "windows", "total"], names
    other = dataclasses.replace(SETTINGS, shift=1.0)
    assert dataclasses.asdict(other)["windows"] == [{"low": 0.0, "high": 1.0}]
    assert Settings.registry[0] is SETTINGS
    return {**d, "x": d["x"] * SETTINGS.total + other.total + len(Settings.registry)}


PRE, POST, MODEL = pre, None, torch.nn.Identity()

METADATA = create_metadata(
    ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], ["x"], ["y"]
)
REQUESTS = [{"x": np.array([[1, 2]], np.float32)}, {"x": np.array([[100, 200]], np.float32)}]
VARIES = True
