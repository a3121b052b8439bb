"""Packs a model that does on demand what a server must survive; a user's script.

Usage: ``python pack_guarded.py FOLDER``. The first number of ``x`` says what is done: as many bytes
are answered, or, where it is negative, the misbehaviour of that number below.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time

import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

ENDLESS, SWALLOWING, BARE, ENDLESS_MODEL, CRASH, THREADS = range(-1, -7, -1)


def endless():
    while True:
        time.sleep(0.01)


def swallowing():
    while True:
        with contextlib.suppress(Exception):
            endless()


def bare():
    """Lose one piece of work to the interruption, and go on as if nothing had been."""
    with contextlib.suppress(BaseException):
        endless()


class Obedient(torch.nn.Module):
    """Gives so many random bytes."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        order = int(x.flatten()[0])
        if order == ENDLESS_MODEL:
            endless()
        if order == CRASH:
            ctypes.string_at(0)
        if order == THREADS:
            return torch.tensor([torch.get_num_threads()])
        return torch.randint(256, (max(order, 1),), dtype=torch.uint8)


def misbehave(data):
    order = int(data["x"].flatten()[0])
    actions = {ENDLESS: endless, SWALLOWING: swallowing, BARE: bare}
    actions.get(order, os.getpid)()
    return data


SERVING = {
    "guarded": {"workers": 1, "response_timeout": 4, "threads": 3},
    "collecting": {"workers": 1, "response_timeout": 4, "batch_size": 4, "batch_delay": 500},
}


def main(folder):
    metadata = create_metadata(
        ["x"], ["ndarray"], [[1]], ["y"], ["ndarray"], [[-1]], model_output_list=["y"]
    )
    for name, serving in SERVING.items():
        EisenServingMAR(misbehave, None, metadata).pack(Obedient(), folder, name, serving=serving)


if __name__ == "__main__":
    main(sys.argv[1])
