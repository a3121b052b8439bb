from __future__ import annotations

import torch

from . import settings
from .blocks import ConvBlock


class LesionNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block = ConvBlock(1)
        self.head = torch.nn.Conv3d(settings.WIDTH, 1, 1)

    def forward(self, x):
        return self.head(self.block(x))
