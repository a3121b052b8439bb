"""The metadata of bundles with other transforms than those of the one that is served; as JSON."""

from __future__ import annotations

import json
import sys

import torch
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    Lambdad,
    NormalizeIntensityd,
    Orientationd,
    Resized,
)

from eisen_deploy.packaging import EisenPackagingError
from eisen_deploy.packaging._bundles.describing import describe_bundle
from eisen_deploy.packaging._bundles.reading import Bundle
from eisen_deploy.packaging._bundles.sampling import make_sample

ARGMAX = AsDiscreted("pred", argmax=True)
CHANNELS = {"0": "Tumor core", "1": "Whole tumor"}
LABELS = {"0": "background", "1": "Liver", "2": "tumor"}


def describe(post, labels, pre=None, inputs=None, final=None):
    image = {"type": "image", "num_channels": 4, "spatial_shape": [32, "8*n", 16]}
    pred = {"type": "image", "num_channels": len(labels), "channel_def": labels}
    formats = {"inputs": {"image": {**image, **(inputs or {})}}, "outputs": {"pred": pred}}
    formats |= {"post_processed_outputs": {"pred": final}} if final else {}
    meta = {"network_data_format": formats}
    bundle = Bundle("tumor", meta, torch.nn.Identity(), pre, post, "float32")
    metadata, remarks = describe_bundle(bundle)
    sample = {name: list(array.shape) for name, array in make_sample(bundle, metadata).items()}
    return {
        "shapes": [field["shape"] for field in metadata["inputs"] + metadata["outputs"]],
        "segments": [
            [each["number"], each["label"], each.get("code")]
            for each in metadata["custom"].get("segments", [])
        ],
        "remarks": remarks,
        "sample": sample,
    }


def main():
    sigmoid = [Activationsd("pred", sigmoid=True), AsDiscreted("pred", threshold=0.5)]
    merged = Compose([*sigmoid, Lambdad("pred", lambda x: x.amax(0, keepdim=True))])
    one = {"type": "image", "num_channels": 1, "channel_def": {"0": "background", "4": "Spleen"}}
    found = {
        "argmax": describe(Compose([ARGMAX]), LABELS, Compose([NormalizeIntensityd("image")])),
        "threshold": describe(Compose(sigmoid), CHANNELS, Compose([Resized("image", (8, 8, 8))])),
        "probabilities": describe(None, LABELS, Compose([Orientationd("image", "RAS")])),
        "merged": describe(merged, CHANNELS),
        "merged and described": describe(merged, CHANNELS, final=one),
        "patches": describe(Compose([ARGMAX]), LABELS, inputs={"is_patch_data": True}),
        "two inputs": refuse_two_inputs(),
    }
    json.dump(found, sys.stdout)


def refuse_two_inputs():
    meta = {"network_data_format": {"inputs": {"a": {}, "b": {}}, "outputs": {}}}
    try:
        describe_bundle(Bundle("two", meta, torch.nn.Identity(), None, None, "float32"))
    except EisenPackagingError as error:
        return error.problems
    return None


if __name__ == "__main__":
    main()
