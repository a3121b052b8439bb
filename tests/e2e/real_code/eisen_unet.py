"""A network and transforms of Eisen, the library that this format of metadata comes from.

Its transforms act on a whole dictionary, and write into it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
import torch
from eisen.models.segmentation import UNet3D
from eisen.transforms import CropCenteredSubVolumes, FilterFields, MapValues, ThresholdValues
from eisen.utils import EisenModuleWrapper

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Chain:
    """What ``torchvision.transforms.Compose`` does."""

    def __init__(self, *transforms):
        self.transforms = transforms

    def __call__(self, data):
        for transform in self.transforms:
            data = transform(data)
        return data


class CopyField:
    def __init__(self, field, new_field):
        self.field, self.new_field = field, new_field

    def __call__(self, data):
        data[self.new_field] = data[self.field]
        return data


def main(folder):
    torch.manual_seed(0)
    model = EisenModuleWrapper(UNet3D(1, 1, n_filters=4), ["image"], ["probability"]).eval()
    pre_processing = Chain(CropCenteredSubVolumes(["image"], [32, 32, 32]), MapValues(["image"]))
    post_processing = Chain(
        CopyField("probability", "mask"),
        ThresholdValues(["mask"], 0.5),
        FilterFields(["probability", "mask"]),
    )
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["probability", "mask"],
        ["ndarray", "ndarray"],
        [[-1, 1, 32, 32, 32], [-1, 1, 32, 32, 32]],
        model_input_list=["image"],
        model_output_list=["probability"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(pre_processing, post_processing, metadata).pack(
        model, folder, "eisen_unet", "1.0", sample=batches["sample"]
    )
    expected = folder / "eisen_unet.npz"
    locally.save(expected, pre_processing, model, post_processing, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
