"""Packs ``hanging.mar``: y = x, after what the request asks for.

Usage: ``python pack_hanging.py FOLDER``; a user's script, like pack_models.py. ``x`` holds one
number: seconds to wait in Python, or below 0 about as many in one native call, which nothing
interrupts; 99 ends the process, and so does 98, with a child that lives on.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Hanging(torch.nn.Module):
    def forward(self, x):
        seconds = float(x.max())
        if seconds == 99:
            os.kill(os.getpid(), 9)
        if seconds == 98:
            if os.fork():
                os._exit(0)
            time.sleep(60)
        if seconds < 0:
            hashlib.pbkdf2_hmac("sha256", b"", b"", int(-1e6 * seconds))
        for _ in range(int(seconds * 100)):
            time.sleep(0.01)
        return x


def main(folder):
    metadata = create_metadata(["x"], ["ndarray"], [[-1]], ["y"], ["ndarray"], [[-1]])
    packer = EisenServingMAR(None, None, metadata)
    serving = {"response_timeout": 3}
    packer.pack(
        Hanging(), folder, "hanging", sample={"x": np.zeros(1, np.float32)}, serving=serving
    )


if __name__ == "__main__":
    main(sys.argv[1])
