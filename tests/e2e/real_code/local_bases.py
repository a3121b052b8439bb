"""Classes whose base class is local: of a module beside the script, and of a function."""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
import torch
from residual import Residual

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Smooth(Residual):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(1, 1, 3, padding=1)

    def body(self, x):
        return self.conv(x)


def make_transform(mean, deviation):
    class Shift:
        def __init__(self, mean):
            self.mean = mean

        def __call__(self, batch):
            return {**batch, "image": batch["image"] - self.mean}

    class ShiftAndScale(Shift):
        def __init__(self, mean, deviation):
            super().__init__(mean)
            self.deviation = deviation

        def __call__(self, batch):
            shifted = super().__call__(batch)
            return {**shifted, "image": shifted["image"] / self.deviation}

    return ShiftAndScale(mean, deviation)


def main(folder):
    torch.manual_seed(0)
    model = Smooth().eval()
    pre_processing = make_transform(8000.0, 6000.0)
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["smooth"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        model_input_list=["image"],
        model_output_list=["smooth"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(pre_processing, None, metadata).pack(
        model, folder, "local_bases", "1.0", sample=batches["sample"]
    )
    expected = folder / "local_bases.npz"
    locally.save(expected, pre_processing, model, None, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
