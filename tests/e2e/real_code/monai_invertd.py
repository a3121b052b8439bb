"""MONAI's Invertd after the model inverts the very transforms that ran before it.

It compares the identity of the transforms that ran with those that it is to invert.
"""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Resized

from eisen_deploy.packaging import EisenServingMAR, create_metadata

CHAIN = Compose([Resized("image", (16, 16, 16))])
INVERT = Invertd("label", CHAIN, orig_keys="image", nearest_interp=True)


class Bright(torch.nn.Module):
    def forward(self, image):
        return (image > image.mean()).float()


def pre_processing(batch):
    items = [CHAIN({"image": MetaTensor(torch.as_tensor(each))}) for each in batch["image"]]
    image = torch.stack([item["image"].as_tensor() for item in items])
    return {**batch, "image": image, "items": items}


def post_processing(batch):
    labels = []
    for label, item in zip(batch["label"], batch["items"]):
        operations = item["image"].applied_operations
        made = MetaTensor(torch.as_tensor(label), applied_operations=operations)
        labels.append(INVERT({**item, "label": made})["label"].numpy())
    return {**batch, "label": np.stack(labels)}


def main(folder):
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["label"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        model_input_list=["image"],
        model_output_list=["label"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(pre_processing, post_processing, metadata).pack(
        Bright(), folder, "monai_invertd", "1.0", sample=batches["sample"]
    )
    expected = folder / "monai_invertd.npz"
    locally.save(expected, pre_processing, Bright(), post_processing, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
