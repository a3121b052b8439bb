"""``model-config.yaml``: the options for the server, held against what the proof has found."""

from __future__ import annotations

from pathlib import Path

from eisen_deploy.packaging._errors import ProofFailed
from eisen_deploy.packaging._remarks import remark
from eisen_deploy.packaging._shared.archive.batches import Batches
from eisen_deploy.packaging._shared.model import serving_options
from eisen_deploy.packaging._shared.model.serving_options import ServingOptions


def write_options(options: ServingOptions, folder: Path) -> str:
    """Write the options into a folder, and return the name of the file."""
    name = serving_options.FILE_NAME
    (folder / name).write_bytes(serving_options.render(options))
    return name


def check_batches(options: ServingOptions, batches: Batches) -> None:
    """Hold the batches that a user asks for against what the proof says of them.

    :raises ProofFailed: if the sample shows that requests cannot share a forward pass.
    """
    if options.batch_size in (None, 1) or batches.shared:
        return
    if batches.tried:
        raise ProofFailed(
            f"serving.batch_size: requests cannot share a forward pass: {batches.reason}; leave "
            "the option out, and requests run one by one"
        )
    remark(f"serving.batch_size: requests will run one by one: {batches.reason}")
