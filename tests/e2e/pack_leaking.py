"""Packs a model that hands its inputs on to its outputs: ``python pack_leaking.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from eisen_deploy.packaging import EisenServingMAR

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import hostile


class Double(torch.nn.Module):
    def forward(self, image):
        return image * 2


if __name__ == "__main__":
    EisenServingMAR(None, None, hostile.METADATA).pack(Double(), sys.argv[1], "leaking")
