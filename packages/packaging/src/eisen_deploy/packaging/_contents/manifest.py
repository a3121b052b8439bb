"""``MAR-INF/MANIFEST.json``: what TorchServe reads to find handler and model."""

from __future__ import annotations

import warnings
from pathlib import Path

from eisen_deploy.packaging._arguments import plain_json
from eisen_deploy.packaging._arguments.payload import Payload

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version.txt open
    from model_archiver.manifest_components.manifest import Manifest, RuntimeType
    from model_archiver.manifest_components.model import Model


def write_manifest(payload: Payload, options: str | None, folder: Path) -> None:
    """Write the manifest into a folder.

    :param options: the name of the file with options for the server.
    """
    model = Model(
        payload.name,
        payload.model.form.file,
        payload.handler.entry,
        model_version=payload.version,
        config_file=options,
    )
    manifest = Manifest(RuntimeType.PYTHON.value, model).__to_dict__()
    del manifest["createdOn"]  # the same inputs give the same archive on any day
    (folder / "MAR-INF").mkdir()
    (folder / "MAR-INF" / "MANIFEST.json").write_bytes(plain_json.encode(manifest))
