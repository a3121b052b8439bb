"""A small 3-D U-Net for brain masks, with the transforms before and after it.

This module is copied into the archive, so it imports only numpy and torch.

The transforms follow Eisen: each is a callable that takes a dictionary holding a collated batch
and returns a new one, leaving what it was given untouched. Around the model they run as::

    image (N, 1, D, H, W) -> NormaliseIntensity -> PadToMultiple -> UNet3d -> logits
    logits -> CropToInput -> Threshold -> mask (N, 1, D, H, W)

Here and below *N* is the number of volumes and *D, H, W* count voxels along the three axes of the
volume, in the order of its file. The network expects the voxel size it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

__all__ = [
    "Batch",
    "Compose",
    "CropToInput",
    "NormaliseIntensity",
    "PadToMultiple",
    "Threshold",
    "Transform",
    "UNet3d",
    "post_processing",
    "pre_processing",
]

Batch: TypeAlias = dict[str, Any]
"""A collated batch: arrays by name, with the volumes of the batch along axis 0."""

Transform: TypeAlias = Callable[[Batch], Batch]
"""What turns one batch into the next."""


class UNet3d(nn.Module):
    """U-Net of three resolutions (Cicek et al., MICCAI 2016), one channel in, one out.

    It is fully convolutional: trained on patches, it runs on whole volumes. It has no normalisation
    layers, since the statistics of a patch are not those of a whole volume; so small a network
    trains without them.

    :param width: number of feature maps at full resolution; it doubles at each lower one
    """

    stride = 4
    """Every spatial size of the input must be a multiple of this many voxels."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.encode_1 = _block(1, width)
        self.encode_2 = _block(width, 2 * width)
        self.encode_4 = _block(2 * width, 4 * width)
        self.up_2 = nn.ConvTranspose3d(4 * width, 2 * width, kernel_size=2, stride=2)
        self.decode_2 = _block(4 * width, 2 * width)
        self.up_1 = nn.ConvTranspose3d(2 * width, width, kernel_size=2, stride=2)
        self.decode_1 = _block(2 * width, width)
        self.head = nn.Conv3d(width, 1, kernel_size=1)
        self.pool = nn.MaxPool3d(2)
        # Channels last in memory: about twice as fast on a CPU.
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Give each voxel the log-odds of its being brain.

        :param image: normalised intensities, float, shape (N, 1, D, H, W)
        :return: logits, shape (N, 1, D, H, W)
        """
        full = self.encode_1(image)
        half = self.encode_2(self.pool(full))
        quarter = self.encode_4(self.pool(half))
        half = self.decode_2(torch.cat((half, self.up_2(quarter)), dim=1))
        full = self.decode_1(torch.cat((full, self.up_1(half)), dim=1))
        logits: torch.Tensor = self.head(full)
        return logits


def _block(n_in: int, n_out: int) -> nn.Sequential:
    """Return two 3x3x3 convolutions, each followed by a ReLU."""
    return nn.Sequential(
        *(_convolution(n_in, n_out), nn.ReLU(inplace=True)),
        *(_convolution(n_out, n_out), nn.ReLU(inplace=True)),
    )


def _convolution(n_in: int, n_out: int) -> nn.Conv3d:
    """Return a 3x3x3 convolution that keeps the variance of its input (He et al., ICCV 2015)."""
    convolution = nn.Conv3d(n_in, n_out, kernel_size=3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution


class Compose:
    """Run several transforms one after the other.

    :param transforms: callables from batch to batch, in the order in which they run
    """

    def __init__(self, *transforms: Transform) -> None:
        self.transforms = transforms

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch as the last transform leaves it."""
        for transform in self.transforms:
            batch = transform(batch)
        return batch


class NormaliseIntensity:
    """Divide each volume by the mean of its non-zero voxels.

    MR intensities have no unit: they differ between scanners by a factor, which this removes. Air
    stays exactly zero, the value that the convolutions pad with.
    """

    def __call__(self, batch: Batch) -> Batch:
        """Replace ``image``, numbers of shape (N, 1, D, H, W), by float32 with tissue near 1."""
        image = np.asarray(batch["image"], dtype=np.float32)
        return {**batch, "image": np.stack([_scaled(volume) for volume in image])}


def _scaled(volume: np.ndarray) -> np.ndarray:
    foreground = volume[volume != 0]
    mean = float(foreground.mean(dtype=np.float64)) if foreground.size else 0.0
    return volume / np.float32(mean) if mean > 0 else volume


class PadToMultiple:
    """Append zeros to each spatial axis until its size is a multiple.

    :param multiple: in voxels; the stride of the model that follows
    """

    def __init__(self, multiple: int) -> None:
        self.multiple = multiple

    def __call__(self, batch: Batch) -> Batch:
        """Pad ``image``, (N, 1, D, H, W); note its size in ``image_size``, int64 (3,), voxels."""
        image = batch["image"]
        size = np.array(image.shape[2:], dtype=np.int64)
        after = -size % self.multiple
        padded = np.pad(image, [(0, 0), (0, 0), *((0, int(n)) for n in after)])
        return {**batch, "image": padded, "image_size": size}


class CropToInput:
    """Undo :class:`PadToMultiple` on what the model returned."""

    def __call__(self, batch: Batch) -> Batch:
        """Crop ``logits``, (N, 1, D', H', W'), to ``image_size``: (N, 1, D, H, W)."""
        depth, height, width = (int(n) for n in batch["image_size"])
        return {**batch, "logits": batch["logits"][:, :, :depth, :height, :width]}


class Threshold:
    """Turn logits into a binary mask.

    :param probability: voxels above it belong to the mask, between 0 and 1 (both excluded)
    """

    def __init__(self, probability: float = 0.5) -> None:
        self.logit = float(np.log(probability / (1 - probability)))

    def __call__(self, batch: Batch) -> Batch:
        """Add ``mask``, uint8 of 0 and 1, with the shape of ``logits``, (N, 1, D, H, W)."""
        return {**batch, "mask": (batch["logits"] > self.logit).astype(np.uint8)}


def pre_processing() -> Compose:
    """Return the transforms from a raw T1 ``image`` to the model's input ``image``."""
    return Compose(NormaliseIntensity(), PadToMultiple(UNet3d.stride))


def post_processing() -> Compose:
    """Return the transforms from the model's ``logits`` to ``mask``, shaped as the request."""
    return Compose(CropToInput(), Threshold())
