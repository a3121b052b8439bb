"""What ``eisen.json`` says of an archive, besides the digests of its files."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

from ._handler import Handler
from ._model import Form

_DISTRIBUTIONS = ("torch", "numpy", "dill", "eisen-deploy-packaging", "eisen-deploy-handler")


def about(
    name: str, version: str, form: Form, transforms: Mapping[str, str | None], handler: Handler
) -> dict[str, Any]:
    """Return the part of ``eisen.json`` that the digests are added to.

    :param transforms: file names of ``pre_processing`` and ``post_processing``, or ``None``.
    """
    return {
        "model": {"name": name, "version": version, "form": form.name, "file": form.file},
        "transforms": dict(transforms),
        "handler": handler.about,
        "packed_with": {
            "python": platform.python_version(),
            **{distribution: _version(distribution) for distribution in _DISTRIBUTIONS},
        },
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # on the path and not installed, as in a working copy
