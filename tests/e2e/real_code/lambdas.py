"""Lambdas as transforms, and one inside the model; they refer to names of the script."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import images
import locally
import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

LARGEST = 2.0**15


centred = lambda image: (image - image.mean()) / LARGEST  # noqa: E731


class Apply(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def main(folder):
    torch.manual_seed(0)
    slope = math.e
    model = torch.nn.Sequential(
        torch.nn.Conv3d(1, 2, 3, padding=1, bias=False), Apply(lambda x: torch.tanh(slope * x))
    ).eval()
    pre_processing = lambda batch: {**batch, "image": centred(batch["image"])}  # noqa: E731
    post_processing = lambda batch: {"label": np.argmax(batch["features"], 1), **batch}  # noqa: E731
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["features", "label"],
        ["ndarray", "ndarray"],
        [[-1, 2, -1, -1, -1], [-1, -1, -1, -1]],
        model_input_list=["image"],
        model_output_list=["features"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(pre_processing, post_processing, metadata).pack(
        model, folder, "lambdas", "1.0", sample=batches["sample"]
    )
    expected = folder / "lambdas.npz"
    locally.save(expected, pre_processing, model, post_processing, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
