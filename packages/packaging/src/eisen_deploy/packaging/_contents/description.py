"""What ``eisen.json`` says of an archive, besides the digests of its files."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict

from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._shared.archive.batches import Batches

from .captured_code import Code

_DISTRIBUTIONS = ("torch", "numpy", "dill", "eisen-deploy-packaging", "eisen-deploy-handler")


def describe(
    payload: Payload,
    transforms: Mapping[str, str | None],
    code: Code,
    sample: Mapping[str, object] | None,
    serving: str | None,
    batches: Batches,
) -> dict[str, object]:
    """Return the part of ``eisen.json`` that the digests are added to.

    :param transforms: file names of ``pre_processing`` and ``post_processing``, or ``None``.
    :param sample: the recorded sample.
    :param serving: the name of the file with options for the server.
    :param batches: whether requests may share a forward pass.
    """
    model = payload.model
    return {
        "model": {
            "name": payload.name,
            "version": payload.version,
            "form": model.form.name,
            "file": model.form.file,
            "keywords": list(model.keywords),
            "training": list(model.training),
        },
        "transforms": dict(transforms),
        "handler": payload.handler.about,
        "packed_with": {
            "python": platform.python_version(),
            **{distribution: _version(distribution) for distribution in _DISTRIBUTIONS},
        },
        "modules": code.modules,
        "requirements": code.requirements,
        "sample": sample,
        "serving": serving,
        "batches": asdict(batches),
        **({} if payload.handler.is_ours else {"entry": payload.handler.entry}),
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # on the path and not installed, as in a working copy
