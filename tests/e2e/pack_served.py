"""Packs archives that bring their serving options along; a user's script, like pack_models.py.

Usage: ``python pack_served.py FOLDER``.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Sleepy(torch.nn.Module):
    """y = 2 x + 1, after as many seconds as the first number says."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        time.sleep(float(x.flatten()[0]))
        return x * self.factor + 1


def add_process(data):
    return {**data, "pid": np.array([os.getpid()])}


SERVED = {
    "plain": {},
    "busy": {
        "workers": 2,
        "batch_size": 4,
        "batch_delay": 250,
        "response_timeout": 2,
        "startup_timeout": 77,
        "device": "cpu",
    },
    "eager": {"batch_size": 4, "batch_delay": 0},
    "precise": {"precision": "bfloat16"},
    "compiled": {"compile": True, "response_timeout": 300, "startup_timeout": 300},
    "wants_gpu": {"device": "cuda"},
}
# Each process has another number: any share of integers may differ.
SAMPLE = {"sample": {"x": np.float32([[0, 1], [0, 2]])}, "tolerance": 1}


def main(folder):
    metadata = create_metadata(
        ["x"],
        ["ndarray"],
        [[-1, 2]],
        ["y", "pid"],
        ["ndarray", "ndarray[int64]"],
        [[-1, 2], [1]],
        model_output_list=["y"],
    )
    mar = EisenServingMAR(None, add_process, metadata)
    for name, serving in SERVED.items():
        is_sleepy = name in ("plain", "busy", "eager")
        model = Sleepy() if is_sleepy else torch.nn.Linear(2, 2)
        sample = SAMPLE if name == "busy" else {}
        mar.pack(model, folder, name, serving=serving, **sample)


if __name__ == "__main__":
    torch.manual_seed(0)
    main(sys.argv[1])
