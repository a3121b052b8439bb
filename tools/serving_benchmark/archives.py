"""The archives for TorchServe: ours, and one with a handler that gives back what it gets."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from . import models

#: The name of the model whose handler does nothing.
BARE = "bare"
BATCH = {"batch_size": 8, "batch_delay": 5}

_BARE_HANDLER = """
def handle(data, context):
    return None if data is None else [row.get("body") or b"" for row in data]
"""


def make(folder: Path) -> None:
    """Write all archives."""
    from eisen_deploy.packaging import EisenServingMAR, create_metadata  # noqa: PLC0415

    for task in models.SHAPES:
        shapes = [[list(models.SHAPES[task])], [list(models.REPLIES[task])]]
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
        serving = BATCH if task.endswith("-batched") else None
        archive = EisenServingMAR(None, None, metadata)
        archive.pack(models.make(task), folder, task, serving=serving)
    _bare(folder / f"{BARE}.mar")


def _bare(path: Path) -> None:
    model = {"modelName": BARE, "modelVersion": "1.0", "handler": f"{BARE}.py"}
    manifest = {"runtime": "python", "archiverVersion": "0.12.0", "model": model}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr(f"{BARE}.py", _BARE_HANDLER)
