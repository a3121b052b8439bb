"""Print, as JSON, what of eisen-core can be imported, and what its models and transforms do."""

from __future__ import annotations

import json
import warnings
from importlib import import_module

import nibabel
import numpy as np
import torch

PARTS = (
    *("io", "transforms", "models", "ops.losses", "ops.metrics", "datasets"),
    *("utils", "utils.workflows", "utils.logging", "utils.artifacts"),
)


def attempt(call):
    """Return ``"works"``, or the error."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - all of them are reported
        return f"{type(error).__name__}: {error}"
    return "works"


def run_model(name, size):
    """Run a model of one channel with its defaults."""
    kind = getattr(import_module("eisen.models.segmentation"), name)
    with torch.no_grad():
        kind(1, 1).eval()(torch.zeros(1, 1, *size))


def resample():
    """Resample a volume to 2 mm."""
    kind = import_module("eisen.transforms").ResampleNiftiVolumes
    image = nibabel.Nifti1Image(np.ones((8, 8, 8), np.float32), np.diag([1.0, 1.0, 3.0, 1.0]))
    assert kind(["image"], [2, 2, 2])({"image": image})["image"].shape[2] == 12


warnings.simplefilter("ignore")
imports = {part: attempt(lambda part=part: import_module(f"eisen.{part}")) for part in PARTS}
models = {
    "VNet": (32, 32, 16),
    "UNet3D": (32, 32, 32),
    "HighRes3DNet": (16, 16, 16),
    "UNet": (32, 32),
    "HighRes2DNet": (16, 16),
}
print(
    json.dumps(
        {
            "imports": imports,
            "models": {name: attempt(lambda n=name: run_model(n, models[n])) for name in models},
            "resample": attempt(resample),
        }
    )
)
