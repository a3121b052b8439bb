"""A model, its transforms and their helpers, all in the script that is run."""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass, field
from pathlib import Path

import images
import locally
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody writes it

from eisen_deploy.packaging import EisenServingMAR, create_metadata

EPSILON = 1e-6


class Norm(enum.Enum):
    BATCH = "batch"
    GROUP = "group"


@dataclass
class Config:
    width: int = 4
    norm: Norm = Norm.GROUP
    dilations: list[int] = field(default_factory=lambda: [1, 2])


def norm_layer(config):
    if config.norm is Norm.GROUP:
        return torch.nn.GroupNorm(2, config.width)
    return torch.nn.BatchNorm3d(config.width)


class Block(torch.nn.Module):
    def __init__(self, channels, config, dilation):
        super().__init__()
        self.conv = torch.nn.Conv3d(channels, config.width, 3, padding=dilation, dilation=dilation)
        self.norm = norm_layer(config)

    def forward(self, x):
        return F.leaky_relu(self.norm(self.conv(x)))


class DilatedNet(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        widths = [1] + [config.width] * len(config.dilations)
        self.blocks = torch.nn.ModuleList(
            Block(channels, config, dilation)
            for channels, dilation in zip(widths, config.dilations)
        )
        self.head = torch.nn.Conv3d(config.width, 1, 1)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def standardise(volume):
    return (volume - volume.mean()) / (volume.std() + EPSILON)


def pre_processing(batch):
    return {**batch, "image": np.stack([standardise(volume) for volume in batch["image"]])}


def post_processing(batch):
    return {**batch, "foreground": (batch["logits"] > 0).sum(axis=(1, 2, 3, 4))}


def main(folder):
    torch.manual_seed(0)
    model = DilatedNet(Config()).eval()
    metadata = create_metadata(
        ["image"],
        ["ndarray"],
        [[-1, 1, -1, -1, -1]],
        ["logits", "foreground"],
        ["ndarray", "ndarray"],
        [[-1, 1, -1, -1, -1], [-1]],
        model_input_list=["image"],
        model_output_list=["logits"],
    )
    batches = {"sample": {"image": images.anatomical()}, "other": {"image": images.functional()}}
    EisenServingMAR(pre_processing, post_processing, metadata).pack(
        model, folder, "main_script", "1.0", sample=batches["sample"]
    )
    expected = folder / "main_script.npz"
    locally.save(expected, pre_processing, model, post_processing, metadata, batches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
