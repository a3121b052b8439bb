"""Packs archives whose model and transforms use the same memory for every request.

Requests of ``together.mar`` share forward passes, those of ``alone.mar`` do not: it has no sample.
Both give y = 8 x. Usage: ``python pack_reusing.py FOLDER``; a user's script, like pack_models.py.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

SERVING = {"batch_size": 8, "batch_delay": 5}


class Doubling(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("memory", torch.zeros(64, 4))

    def forward(self, x):
        return torch.mul(x, 2, out=self.memory[: len(x)])


class Doubled:
    """Doubles one array of a batch, in memory of its own; remembers how many rows it had."""

    def __init__(self, name):
        self.name = name
        self.memory = np.zeros((64, 4), np.float32)

    def __call__(self, data):
        rows = np.asarray(data[self.name])
        return {**data, self.name: np.multiply(rows, 2, out=self.memory[: len(rows)])}


def main(folder):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 4]], ["y"], ["ndarray"], [[-1, 4]])
    packer = EisenServingMAR(Doubled("x"), Doubled("y"), metadata)
    sample = {"x": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)}
    packer.pack(Doubling(), folder, "together", serving=SERVING, sample=sample)
    packer.pack(Doubling(), folder, "alone", serving=SERVING)


if __name__ == "__main__":
    main(sys.argv[1])
