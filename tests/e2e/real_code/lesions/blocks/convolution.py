from __future__ import annotations

import torch

from ..settings import WIDTH  # noqa: TID252 - relative over two levels is the point


class ConvBlock(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = torch.nn.Conv3d(channels, WIDTH, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))
