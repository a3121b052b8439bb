"""A model of a project that is installed in editable mode."""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
from vesselness import SecondDerivative, rescale

from eisen_deploy.packaging import EisenServingMAR, create_metadata


def main(folder):
    model = SecondDerivative().eval()
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["response"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        model_input_list=["image"],
        model_output_list=["response"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(rescale, None, metadata).pack(
        model, folder, "editable_install", "1.0", sample=batches["sample"]
    )
    expected = folder / "editable_install.npz"
    locally.save(expected, rescale, model, None, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
