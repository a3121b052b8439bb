"""A network and dictionary transforms of MONAI.

MONAI's dictionary transforms take one item, so a small class of this script takes a batch apart
and puts it together again, with what MONAI has for that.
"""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
import torch
from monai.data import list_data_collate
from monai.networks.nets import UNet
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    CopyItemsd,
    EnsureTyped,
    KeepLargestConnectedComponentd,
    NormalizeIntensityd,
    ResizeWithPadOrCropd,
    ScaleIntensityRangePercentilesd,
)

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class ItemByItem:
    """Applies a transform of single items to the items of a batch."""

    def __init__(self, key, *transforms):
        self.key = key
        self.transform = Compose(transforms)

    def __call__(self, batch):
        items = [self.transform({self.key: item}) for item in batch[self.key]]
        return {**batch, **list_data_collate(items)}


def main(folder):
    torch.manual_seed(0)
    model = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=2,
        channels=(4, 8, 16),
        strides=(2, 2),
        num_res_units=1,
    ).eval()
    pre_processing = ItemByItem(
        "image",
        EnsureTyped("image"),
        ScaleIntensityRangePercentilesd("image", 1, 99, 0, 1, clip=True),
        NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        ResizeWithPadOrCropd("image", (32, 32, 32)),
    )
    post_processing = ItemByItem(
        "probabilities",
        Activationsd("probabilities", softmax=True),
        CopyItemsd("probabilities", names="mask"),
        AsDiscreted("mask", argmax=True),
        KeepLargestConnectedComponentd("mask"),
    )
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["probabilities", "mask"],
        ["ndarray", "ndarray"],
        [[-1, 2, 32, 32, 32], [-1, 1, 32, 32, 32]],
        model_input_list=["image"],
        model_output_list=["probabilities"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(pre_processing, post_processing, metadata).pack(
        model,
        folder,
        "monai_unet",
        "1.0",
        sample=batches["sample"],
        requirements=[
            "scikit-image"
        ],  # what finds the largest component; MONAI imports it if it can
    )
    expected = folder / "monai_unet.npz"
    locally.save(expected, pre_processing, model, post_processing, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
