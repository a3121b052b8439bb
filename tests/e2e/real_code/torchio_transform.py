"""Transforms of torchio before a network of torch alone; one of them holds a lambda."""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
import numpy as np
import torch
import torchio as tio

from eisen_deploy.packaging import EisenServingMAR, create_metadata

SIZE = (24, 32, 24)


class Prepare:
    """Brings each volume to one size and one scale."""

    def __init__(self):
        self.transform = tio.Compose(
            [
                tio.Lambda(lambda volume: volume.clamp(min=0)),
                tio.RescaleIntensity((0, 1), percentiles=(0.5, 99.5)),
                tio.ZNormalization(masking_method=tio.ZNormalization.mean),
                tio.Resize(SIZE),
            ]
        )

    def __call__(self, batch):
        volumes = [self.transform(volume) for volume in batch["image"]]
        return {**batch, "image": np.stack(volumes)}


def main(folder):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, 1, 1)
    ).eval()
    pre_processing = Prepare()
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["image", "logits"],
        ["ndarray", "ndarray"],
        [[-1, 1, *SIZE], [-1, 1, *SIZE]],
        model_input_list=["image"],
        model_output_list=["logits"],
    )
    batches = {"sample": {"image": images.functional()}, "other": {"image": images.anatomical()}}
    EisenServingMAR(pre_processing, None, metadata).pack(
        model, folder, "torchio_transform", "1.0", sample=batches["sample"]
    )
    expected = folder / "torchio_transform.npz"
    locally.save(expected, pre_processing, model, None, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
