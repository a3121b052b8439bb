"""Packs ``seg.mar``: a mask of what is brighter than the mean.

Usage: ``python pack_threshold.py FOLDER``.
"""

from __future__ import annotations

import sys

import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

VOLUME = [[-1, 1, -1, -1, -1]]


class Threshold(torch.nn.Module):
    """1 where a voxel is above the mean of its volume."""

    def forward(self, image):
        image = image.to(torch.float64)
        return (image > image.mean(dim=(1, 2, 3, 4), keepdim=True)).to(torch.uint8)


def main(folder):
    segments = [{"number": 1, "label": "Bright", "color": "#dd8265"}]
    metadata = create_metadata(
        *(["image"], ["ndarray"], VOLUME, ["mask"], ["ndarray"], VOLUME),
        custom_meta_dict={"segments": segments},
    )
    EisenServingMAR(None, None, metadata).pack(Threshold(), folder, "seg", "1.0")


if __name__ == "__main__":
    main(sys.argv[1])
