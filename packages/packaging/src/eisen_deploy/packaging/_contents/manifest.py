"""``MAR-INF/MANIFEST.json``: what TorchServe reads to find handler and model."""

from __future__ import annotations

import warnings
from pathlib import Path

from eisen_deploy.packaging._arguments import plain_json

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version.txt open
    from model_archiver.manifest_components.manifest import Manifest, RuntimeType
    from model_archiver.manifest_components.model import Model


def write_manifest(
    folder: Path,
    name: str,
    version: str,
    model_file: str,
    handler: str,
    *,
    config_file: str | None = None,
) -> None:
    """Write the manifest into a folder.

    :param model_file: the serialized model, at the folder's top level.
    :param handler: a module that TorchServe can import, or a file, or a name of its own.
    :param config_file: the file with options for the server, at the folder's top level.
    """
    model = Model(name, model_file, handler, model_version=version, config_file=config_file)
    manifest = Manifest(RuntimeType.PYTHON.value, model).__to_dict__()
    del manifest["createdOn"]  # the same inputs give the same archive on any day
    (folder / "MAR-INF").mkdir()
    (folder / "MAR-INF" / "MANIFEST.json").write_bytes(plain_json.encode(manifest))
