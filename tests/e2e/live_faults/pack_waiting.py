"""Packs ``single.mar`` and ``pair.mar``: y = 2 x + 1, after as long as the request says.

Usage: ``python pack_waiting.py FOLDER``; a user's script, like pack_models.py. The last column of
``x`` holds the seconds. ``pid`` tells which worker has answered. Each request prints a line, and
so does each pass of the model.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Waiting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x):
        print(f"a pass of {len(x)} rows")
        time.sleep(float(x[:, -1].max()))
        return x * self.factor + 1


def print_size(data):
    print("a request of", len(data["x"]), "rows")
    return data


def add_process(data):
    return {**data, "pid": np.array([os.getpid()])}


# Each process has another number: any share of integers may differ.
SAMPLE = {"sample": {"x": np.float64([[1, 2, 3, 0], [4, 5, 6, 0]]) / 1000}, "tolerance": 1}
COMMON = {"batch_size": 8, "batch_delay": 10, "startup_timeout": 60}
SERVED = {
    "single": {**COMMON, "workers": 1, "response_timeout": 4},
    "pair": {**COMMON, "workers": 2, "response_timeout": 20},
}


def main(folder):
    doubles, row = "ndarray[float64]", [-1, 4]
    metadata = create_metadata(
        ["x"],
        [doubles],
        [row],
        ["y", "pid"],
        [doubles, "ndarray[int64]"],
        [row, [1]],
        model_output_list=["y"],
    )
    packer = EisenServingMAR(print_size, add_process, metadata)
    for name, serving in SERVED.items():
        packer.pack(Waiting(), folder, name, serving=serving, **SAMPLE)


if __name__ == "__main__":
    main(sys.argv[1])
