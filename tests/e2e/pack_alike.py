"""Packs a model that answers alike in every process: ``python pack_alike.py FOLDER``."""

from __future__ import annotations

import sys

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Affine(torch.nn.Module):
    """y = 2 x + 1; raises for numbers above a million."""

    def forward(self, x):
        if bool((x > 1e6).any()):
            raise ValueError("too much")
        return 2 * x + 1


def main(folder):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    sample = {"x": np.float32([[1, 2]])}
    EisenServingMAR(None, None, metadata).pack(Affine(), folder, sample=sample)


if __name__ == "__main__":
    main(sys.argv[1])
