"""``--provenance``: a JSON file beside each output, which says how the output was made.

It holds nothing of the patient: no names of files, no headers, no values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from eisen_deploy.client import Prediction
from eisen_deploy.client._http.endpoint import Endpoint
from eisen_deploy.client._shared.archive.unpacked_folder import compute_sha256
from eisen_deploy.client._version import client_version

SCHEMA = "eisen-deploy-provenance/1"
_ENDING = ".provenance.json"


def sidecar_path(path: Path) -> Path:
    """Return the path of the JSON file that belongs to an output."""
    return path.with_name(f"{path.name}{_ENDING}")


def describe_run(
    url: str | None, batch: Mapping[str, object], reply: Prediction
) -> dict[str, object]:
    """Return what is the same for all outputs of a prediction.

    :param url: of the model; ``None`` if no server ran it.
    :param batch: inputs by name, as they were handed to the client.
    """
    return {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "client": {"name": "eisen-deploy-client", "version": client_version()},
        "server": None if url is None else Endpoint.parse(url).shown,
        "request_id": reply.request_id,
        "model": reply.model._asdict(),
        "inputs": {name: _describe(value, hashed=True) for name, value in batch.items()},
    }


def write_sidecar(
    path: Path, run: Mapping[str, object], outputs: Mapping[str, object], written: Path
) -> None:
    """Write the file that belongs to one output.

    :param run: from :func:`describe_run`.
    :param outputs: what the output file holds, by name.
    :param written: the output file.
    """
    described = {name: _describe(value, hashed=False) for name, value in outputs.items()}
    facts = {**run, "outputs": described, "file": {"sha256": compute_sha256(written)}}
    path.write_text(f"{json.dumps(facts, indent=2, sort_keys=True)}\n", "utf-8")


def _describe(value: object, *, hashed: bool) -> dict[str, object]:
    """Describe a value by type and shape. Only arrays are hashed: other values can be guessed."""
    if not isinstance(value, np.ndarray):
        return {"type": type(value).__name__}
    facts = {"type": "ndarray", "dtype": value.dtype.name, "shape": list(value.shape)}
    if hashed and value.dtype.kind in "biufc":
        little = value.astype(value.dtype.newbyteorder("<"), copy=False)
        facts["sha256"] = hashlib.sha256(np.ascontiguousarray(little).data).hexdigest()
    return facts
