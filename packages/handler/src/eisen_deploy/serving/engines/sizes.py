"""Sizes as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgKMG]?)(i?)([bB]?)", re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


def parse_size(text: str) -> int:
    """Read a size: ``512MiB``, ``1GB``, ``64M`` (MiB, as Java has it), or a number of bytes.

    :raises ValueError: for anything else, and for less than one byte.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"expected a size such as 512MiB or 1GB, got {text!r}")
    decimal = match[2] and match[4] and not match[3]
    unit: int = (1000 if decimal else 1024) ** _POWERS[match[2].lower()]
    count = round(float(match[1]) * unit)
    if count < 1:
        raise ValueError(f"expected at least one byte, got {text!r}")
    return count
