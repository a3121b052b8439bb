"""Which version of this distribution runs."""

from __future__ import annotations


def client_version() -> str:
    """Return the version, ``unknown`` where the package was not installed but copied."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow, seldom used

    try:
        return version("eisen-deploy-client")
    except PackageNotFoundError:
        return "unknown"
