"""Trains a small network on bright ellipsoids and writes it as a MONAI bundle, with images.

The configuration has the form of the bundles in MONAI's model zoo.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.networks.nets import UNet

NETWORK = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 1,
    "norm": "batch",
}
FORMAT = {
    "type": "image",
    "num_channels": 1,
    "spatial_shape": [16, 16, 16],
    "dtype": "float32",
    "value_range": [0, 1],
    "is_patch_data": True,
}
METADATA = {
    "version": "0.5.2",
    "monai_version": "1.6.1",
    "pytorch_version": "2.13.0",
    "numpy_version": "2.0.0",
    "required_packages_version": {"nibabel": "5.2.1", "pytorch-ignite": "0.4.11"},
    "task": "Segmentation of bright ellipsoids",
    "network_data_format": {
        "inputs": {"image": {**FORMAT, "format": "hounsfield", "channel_def": {"0": "image"}}},
        "outputs": {
            "pred": {
                **FORMAT,
                "format": "segmentation",
                "num_channels": 2,
                "channel_def": {"0": "background", "1": "spleen"},
            }
        },
    },
}
INFERENCE = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "output_dir": "$@bundle_root + '/eval'",
    "dataset_dir": "$@bundle_root + '/images'",
    "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": {"_target_": "UNet", **NETWORK},
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [2, 2, 2.5], "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": -100,
                "a_max": 300,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "dataset": {
        "_target_": "Dataset",
        "data": "$[{'image': i} for i in @datalist]",
        "transform": "@preprocessing",
    },
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
    "inferer": {
        "_target_": "SlidingWindowInferer",
        "roi_size": [16, 16, 16],
        "sw_batch_size": 4,
        "overlap": 0.5,
        "mode": "gaussian",
        "device": "@device",
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {
                "_target_": "SaveImaged",
                "keys": "pred",
                "output_dir": "@output_dir",
                "output_postfix": "seg",
                "separate_folder": False,
            },
        ],
    },
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
    },
    "checkpointloader": {
        "_target_": "CheckpointLoader",
        "load_path": "$@bundle_root + '/models/model.pt'",
        "load_dict": {"model": "@network"},
    },
    "initialize": ["$@checkpointloader(@evaluator)"],
    "run": ["$@evaluator.run()"],
}
AFFINES = {
    "left": [[-1.6, 0.2, 0, 40], [0.2, 1.6, 0.1, -30], [0, -0.1, 3.0, 10], [0, 0, 0, 1]],
    "upright": [[0, 0, 2.2, -30], [1.8, 0, 0, -40], [0, -1.5, 0, 55], [0, 0, 0, 1]],
}
SHAPES = {"left": (30, 27, 18), "upright": (25, 33, 21)}


def draw(shape, generator):
    """Return a volume in Hounsfield units and where its bright ellipsoids are."""
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    inside = np.zeros(shape, bool)
    for _ in range(2):
        center = generator.uniform(0.3, 0.7, 3) * shape
        radii = generator.uniform(0.12, 0.25, 3) * shape
        inside |= (((places - center) / radii) ** 2).sum(-1) < 1
    return np.where(inside, 180, 20) + generator.normal(0, 40, shape), inside


def train(generator):
    torch.manual_seed(0)
    network = UNet(**NETWORK)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(40):
        pairs = [draw((16, 16, 16), generator) for _ in range(4)]
        images = np.stack([(volume.clip(-100, 300) + 100) / 400 for volume, _ in pairs])[:, None]
        truth = torch.tensor(np.stack([inside for _, inside in pairs])).long()
        logits = network(torch.tensor(images).float())
        loss = torch.nn.functional.cross_entropy(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def main(folder):
    generator = np.random.default_rng(3)
    for name in ("configs", "models", "images"):
        (folder / name).mkdir(parents=True)
    torch.save(train(generator).state_dict(), folder / "models" / "model.pt")
    for name, affine in AFFINES.items():
        volume = draw(SHAPES[name], generator)[0].astype(np.int16)
        nibabel.Nifti1Image(volume, np.array(affine)).to_filename(
            folder / "images" / f"{name}.nii.gz"
        )
    for name, content in {"metadata": METADATA, "inference": INFERENCE}.items():
        (folder / "configs" / f"{name}.json").write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
