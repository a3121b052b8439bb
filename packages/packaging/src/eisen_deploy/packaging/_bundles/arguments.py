"""A bundle as the arguments of ``EisenServingMAR`` and of ``pack``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eisen_deploy.packaging._capture import installed
from eisen_deploy.packaging._remarks import remark
from packaging.utils import canonicalize_name

from .describing import describe_bundle, needs_affine
from .reading import Bundle
from .sampling import make_sample

_LISTS = ("required_packages_version", "optional_packages_version")
#: Every server has these, and these are for training; MONAI itself is found by its code.
_LEFT_OUT = frozenset(
    ("torch", "numpy", "monai", "pytorch-ignite", "tensorboard", "fire", "mlflow", "nni", "ray")
)
_PICTURE = 2


def make_arguments(bundle: Bundle) -> dict[str, Any]:
    """Return the arguments by name, with a sample that is made up.

    :raises InvalidArgument: if the bundle does not describe its input and output.
    """
    metadata, remarks = describe_bundle(bundle)
    for text in remarks:
        remark(text)
    if len(metadata["inputs"][0]["shape"]) == _PICTURE + 2:
        remark(
            "the spatial axes of the input are those that the bundle's reader gives: columns and "
            "then rows for pictures, unless it says otherwise"
        )
    return {
        "model": bundle.model,
        "pre_processing": bundle.pre_processing,
        "post_processing": bundle.post_processing,
        "meta_data": metadata,
        "model_name": bundle.name,
        "model_version": str(bundle.meta.get("version", "1.0")),
        "requirements": sorted(set(_list_requirements(bundle))),
        "sample": make_sample(bundle, metadata),
    }


def _list_requirements(bundle: Bundle) -> Iterator[str]:
    """Yield what the bundle says it needs, and is installed here, whatever its code imports."""
    if needs_affine(bundle):
        yield "nibabel"  # MONAI turns axes with it, and imports it if it can
    for name in (name for key in _LISTS for name in bundle.meta.get(key, {})):
        distribution = canonicalize_name(str(name))
        if distribution not in _LEFT_OUT and installed.is_installed(distribution):
            yield distribution
