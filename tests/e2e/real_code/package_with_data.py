"""A transform of a package that reads a data file beside its code."""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
import torch
from intensities import MatchHistogram

from eisen_deploy.packaging import EisenServingMAR, create_metadata

HERE = Path(__file__).resolve().parent


def main(folder):
    torch.manual_seed(0)
    model = torch.nn.Conv3d(1, 1, 3, padding=1).eval()
    pre_processing = MatchHistogram("T1")
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["logits"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        model_input_list=["image"],
        model_output_list=["logits"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(pre_processing, None, metadata).pack(
        model,
        folder,
        "package_with_data",
        "1.0",
        sample=batches["sample"],
        code_paths=[HERE / "intensities"],
    )
    expected = folder / "package_with_data.npz"
    locally.save(expected, pre_processing, model, None, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
