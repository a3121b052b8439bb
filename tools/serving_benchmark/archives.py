"""The archives for TorchServe: ours, and one with a handler that returns what it gets."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from . import models

#: The name of the model whose handler does nothing.
BARE = "bare"
# With two threads, torch waits for a core that the server's other processes are using.
_SMALL = {"threads": 1}
SERVING = {"cnn": _SMALL, "cnn-batched": {**_SMALL, "batch_size": 8, "batch_delay": 5}}

_BARE_HANDLER = """
def handle(data, context):
    return None if data is None else [row.get("body") or b"" for row in data]
"""


def make(folder: Path) -> None:
    """Write all archives."""
    from eisen_deploy.packaging import EisenServingMAR, create_metadata  # noqa: PLC0415

    for task in models.SHAPES:
        # Axis 0 is free: requests may share a pass.
        shapes = [[[-1, *shape[1:]]] for shape in (models.SHAPES[task], models.REPLIES[task])]
        metadata = create_metadata(
            ["x"],
            ["ndarray"],
            shapes[0],
            ["y"],
            ["ndarray"],
            shapes[1],
            model_input_list=["x"],
            model_output_list=["y"],
        )
        archive = EisenServingMAR(None, None, metadata)
        serving = SERVING.get(task)
        # Only a sample proves that requests may share a pass.
        sample = {"x": models.array(task, 0)} if "batch_size" in (serving or {}) else None
        archive.pack(models.make(task), folder, task, serving=serving, sample=sample)
    _bare(folder / f"{BARE}.mar")


def _bare(path: Path) -> None:
    model = {"modelName": BARE, "modelVersion": "1.0", "handler": f"{BARE}.py"}
    manifest = {"runtime": "python", "archiverVersion": "0.12.0", "model": model}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr(f"{BARE}.py", _BARE_HANDLER)
