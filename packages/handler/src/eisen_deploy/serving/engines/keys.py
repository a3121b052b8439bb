"""Tokens in files: TorchServe's ``key_file.json``, or a file with nothing but a token."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple


class Keys(NamedTuple):
    """Tokens: one for inference, one for management; neither is empty."""

    inference: str | None = None
    management: str | None = None


def parse_keys(raw: bytes) -> Keys:
    """Read tokens from what such a file holds; none where it holds none."""
    text = raw.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return Keys(text or None)
    try:
        keys = json.loads(text)
    except ValueError:  # it is just being written
        return Keys()
    return Keys(_find(keys, "inference"), _find(keys, "management"))


def read_keys(path: Path) -> Keys:
    """Read tokens from a file.

    :raises OSError: if the file cannot be read.
    """
    return parse_keys(path.read_bytes())


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody but its owner can read, in place of one that may be there.

    :raises OSError: if it cannot be written.
    """
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)


def _find(keys: object, api: str) -> str | None:
    entry = keys.get(api) if isinstance(keys, dict) else None
    key = entry.get("key") if isinstance(entry, dict) else None
    return key or None if isinstance(key, str) else None
