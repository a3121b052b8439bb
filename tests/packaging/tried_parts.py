"""Models and transforms that travel; what packs them is not imported here, as on a server."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

SECRET = "Canary^Patient"


class Threshold(torch.nn.Module):
    """Marks what is brighter than the mean, weighted by where it lies: no axis is like another."""

    def forward(self, image):
        image = image.float()
        return (image * torch.linspace(1, 2, image.shape[-1]) > image.mean()).to(torch.uint8)


def scaled(batch):
    return {**batch, "image": batch["image"] / np.float32(7)}


class Trouble(torch.nn.Module):
    """Does what the first number of a row says."""

    def forward(self, x):
        what = int(x[0, 0])
        if what == 1:
            raise ValueError(f"{SECRET}: {float(x[0, 1])}")
        if what == 2:
            os._exit(7)
        if what == 3:
            time.sleep(600)
        if what == 4:
            print(SECRET, input("never answered: "))
        if what == 5:
            os.kill(os.getpid(), 11)
        return x


def refusing(batch):
    from eisen_deploy.serving import InvalidInput

    if batch["x"][0, 0] == 8:
        raise InvalidInput("this model takes no eights")
    return batch


class Looking(torch.nn.Module):
    """Counts what of its user's a process sees: files, variables, folders to import from."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def forward(self, x):
        found = [*Path.cwd().iterdir(), *filter(None, [os.environ.get("EISEN_SEEN")])]
        return x + len(found) + sum(path in (self.folder, "") for path in sys.path)


class Busy(torch.nn.Module):
    """Waits for a process of its own, whose number it writes down."""

    def forward(self, x):
        import subprocess

        child = subprocess.Popen(["sleep", "600"])
        Path("started").write_text(str(child.pid))
        child.wait()
        return x
