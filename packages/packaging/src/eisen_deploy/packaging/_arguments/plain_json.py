"""What a user calls JSON, checked and made plain.

Accepted is what the handler can read back, and what JSON changes in no way that matters: a tuple
becomes a list, a number of numpy a number of Python. Everything else is a problem.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from eisen_deploy.packaging._shared.errors import ContractError
from eisen_deploy.packaging._shared.wire import strict_json


def find_problems(value: object, where: str) -> list[str]:
    """Return one sentence for each part of a value that JSON cannot carry.

    :param where: how messages name the value itself; its parts are named after it.
    """
    found = list(_find_problems(value, where, 0))
    if not found:
        try:
            strict_json.loads(_encode(value), where)
        except ContractError as error:
            found.extend(error.problems)
    return found


def to_plain(value: Mapping[str, object]) -> dict[str, Any]:
    """Return a dict that has no problems as new dicts, lists, numbers and strings."""
    return dict(json.loads(_encode(value)))


def encode(value: object) -> bytes:
    """Return the text of a plain value as it goes into an archive: UTF-8, indented, in order."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _find_problems(value: object, where: str, depth: int) -> Iterator[str]:
    if isinstance(value, np.generic):
        value = value.item()
    if depth > strict_json.MAX_DEPTH:
        yield f"{where}: is nested more than {strict_json.MAX_DEPTH} deep"
    elif isinstance(value, dict):
        yield from _find_dict_problems(value, where, depth)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _find_problems(item, f"{where}[{index}]", depth + 1)
    elif value is not None and not isinstance(value, (str, int, float)):
        yield f"{where}: {type(value).__name__} is not JSON"
    else:
        yield from _find_scalar_problems(value, where)


def _find_dict_problems(value: dict[object, object], where: str, depth: int) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(key, str):
            yield from _find_problems(item, f"{where}[{key!r}]", depth + 1)
        else:
            yield f"{where}: key {key!r} is {type(key).__name__}, JSON has only str keys"


def _find_scalar_problems(value: object, where: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value} is not JSON"
    elif isinstance(value, int) and abs(value) >= 10**strict_json.MAX_DIGITS:
        yield f"{where}: an integer of more than {strict_json.MAX_DIGITS} digits"
    elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        yield f"{where}: holds half of a surrogate pair"


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=np.generic.item).encode()
