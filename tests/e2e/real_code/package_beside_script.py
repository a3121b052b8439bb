"""A model of a package that lies beside this script and imports relatively."""

from __future__ import annotations

import sys
from pathlib import Path

import images
import locally
import torch
from lesions import LesionNet, Window, training

from eisen_deploy.packaging import EisenServingMAR, create_metadata


def main(folder):
    torch.manual_seed(0)
    model, pre_processing = LesionNet(), Window("T1")
    train(model)
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
        model, folder, "package_beside_script", "1.0", sample=batches["sample"]
    )
    expected = folder / "package_beside_script.npz"
    locally.save(expected, pre_processing, model, None, metadata, batches)


def train(model):
    target = training.targets(images.DATA / "anatomical.nii", 1e4)[None, None].float()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    image = torch.from_numpy(images.anatomical()) / 2e4
    for _ in range(3):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
