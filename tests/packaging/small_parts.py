"""Models and a transform that travel; what packs them is not imported here, as on a server."""

from __future__ import annotations

import functools

import torch


class Shift(torch.nn.Module):
    def __init__(self, reference):
        super().__init__()
        self.register_buffer("reference", reference)

    def forward(self, x):
        return x - self.reference


class Add:
    def __init__(self, **state):
        self.__dict__ |= state

    def __call__(self, d):
        return d


class Uncertain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        return torch.stack([self.drop(x) for _ in range(16)]).std(0)


class ByName(torch.nn.Module):
    def forward(self, *, x):
        return 2 * x


def with_two(forward):
    @functools.wraps(forward)
    def called(self, x):
        return forward(self, x, factor=2)

    return called


class Decorated(torch.nn.Module):
    @with_two
    def forward(self, x, *, factor):
        return factor * x
