"""Packs the archives that the end-to-end tests serve, as a user's script does.

Usage: ``python pack_models.py FOLDER``. Its classes and functions are those of ``__main__``, and
the server has none of this.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

LIMIT = 1e6


class Affine(torch.nn.Module):
    """y = 2 x + 1; raises for numbers above the limit."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        if bool((x > LIMIT).any()):
            raise ValueError(f"{x.max()} is too much")
        return x * self.factor + 1


def add_process(data):
    return {**data, "pid": os.getpid()}


def add_process_as_array(data):
    return {**data, "pid": np.array([os.getpid()])}


def pack_batched(folder):
    """Pack one whose requests share a pass: it has a sample, which any process answers alike."""
    metadata = create_metadata(
        ["x"],
        ["ndarray"],
        [[-1, 2]],
        ["y", "pid"],
        ["ndarray", "ndarray[int64]"],
        [[-1, 2], [1]],
        model_output_list=["y"],
    )
    # Each process has another number: any share of integers may differ.
    sample = {"sample": {"x": np.float32([[1, 2], [3, 4]])}, "tolerance": 1}
    serving = {"batch_size": 8, "batch_delay": 2000, "response_timeout": 60}
    packer = EisenServingMAR(None, add_process_as_array, metadata)
    packer.pack(Affine(), folder, "batched", serving=serving, **sample)


def main(folder):
    metadata = create_metadata(
        ["x"],
        ["ndarray"],
        [[-1, 2]],
        ["y", "pid"],
        ["ndarray", "int"],
        [[-1, 2], []],
        model_output_list=["y"],
    )
    mar = EisenServingMAR(None, add_process, metadata)
    mar.pack(Affine(), folder, "model", "1.0")
    pack_batched(folder)

    anything = create_metadata(
        ["volume"], ["ndarray"], [[-1, -1, -1, -1]], ["volume"], ["ndarray"], [[-1, -1, -1, -1]]
    )
    EisenServingMAR(None, None, anything).pack(torch.nn.Identity(), folder, "echo", "2.1")

    here = Path(__file__).parent
    for name in ("doubling_handler", "plain_handler"):
        mar = EisenServingMAR(None, add_process, metadata, handler=here / f"{name}.py")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch says so of TorchScript
            model = Affine() if name == "doubling_handler" else torch.jit.script(torch.nn.ReLU())
        mar.pack(model, folder, name)


if __name__ == "__main__":
    main(sys.argv[1])
