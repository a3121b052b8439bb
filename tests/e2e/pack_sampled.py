"""Packs ``seg.mar`` (y = 2 x + 1, with a sample and two workers) and ``echo.mar`` (without).

Usage: ``python pack_sampled.py FOLDER``; a user's script, like pack_models.py.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Affine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return x * self.factor + 1


def main(folder):
    metadata = create_metadata(
        ["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]], model_output_list=["y"]
    )
    packer = EisenServingMAR(None, None, metadata)
    sample = {"x": np.float32([[1, 2], [3, 4]])}
    packer.pack(Affine(), folder, "seg", "1.2", sample=sample, serving={"workers": 2})
    packer.pack(Affine(), folder, "echo", "2.1")


if __name__ == "__main__":
    main(sys.argv[1])
