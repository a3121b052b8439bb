"""Packs archives that pack well and never load on a server; a user's script, like pack_models.py.

Usage: ``python pack_failing.py FOLDER [NAME...]``; without a name, all. Each fails only in the
worker of a server, whose handler is ``_eisen_serving``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from eisen_deploy.packaging import EisenServingMAR, create_metadata

HANDLER = """\
import sys
from eisen_deploy.serving import EisenServingHandler

class Failing(EisenServingHandler):
    def initialize(self, ctx):
        {}
"""
AT_LOAD = {
    "raises": "raise ValueError('the weights are of another planet')",
    "exits": "import os; os._exit(7)",
    "hangs": "wait_for_ever()",
    "memory": "bytearray(2**62)",
    "crashes": "import ctypes; ctypes.string_at(0)",
}
MODULES = {
    "quits": "import sys\nif '_eisen_serving' in sys.modules:\n    sys.exit(3)\n",
    "depends": "import nibabel\n",
}
FUNCTION = "\n\ndef keep(batch):\n    return batch\n"
HANG = "\n\ndef wait_for_ever():\n    import time\n    time.sleep(10_000)\n"


def main(folder, names=()):
    code = folder / "code"
    code.mkdir(parents=True)
    sys.path.insert(0, str(code))
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    for name in names or AT_LOAD:
        handler = code / f"{name}_handler.py"
        handler.write_text(HANDLER.format(AT_LOAD[name]) + HANG)
        EisenServingMAR(None, None, metadata, handler=handler).pack(
            torch.nn.Identity(), folder, name
        )
    if names:
        return
    slow = EisenServingMAR(None, None, metadata, handler=code / "hangs_handler.py")
    slow.pack(torch.nn.Identity(), folder, "slow", serving={"startup_timeout": 5})
    for name, text in MODULES.items():
        (code / f"{name}_code.py").write_text(text + FUNCTION)
        keep = __import__(f"{name}_code").keep
        EisenServingMAR(keep, None, metadata).pack(torch.nn.Identity(), folder, name)
    metadata["model_output_list"] = ["y"]
    sample = {"x": np.float32([[1, 2]])}
    packer = EisenServingMAR(None, None, metadata)
    packer.pack(torch.nn.Linear(2, 2), folder, "good", sample=sample)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
