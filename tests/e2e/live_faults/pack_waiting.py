"""Packs ``single.mar`` and ``pair.mar``: y = 2 x + 1, after as long as the request says.

Usage: ``python pack_waiting.py FOLDER``; a user's script, like pack_models.py. The last column of
``x`` holds the seconds; below 0 about as many in one native call, which nothing interrupts, and
1000 runs out of memory. ``pid`` tells which worker has answered. Each request prints a line, and
so does each pass of the model.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

TOO_MUCH = 1000


class Waiting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x):
        print(f"a pass of {len(x)} rows")
        least, seconds = float(x[:, -1].min()), float(x[:, -1].max())
        if seconds == TOO_MUCH:
            torch.empty(2**50)
        if least < 0:
            hashlib.pbkdf2_hmac("sha256", b"", b"", int(-1e6 * least))
        else:
            time.sleep(seconds)
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
