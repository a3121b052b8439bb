"""JSON from anywhere, read strictly.

The standard parser takes ``NaN``, turns ``1e400`` into infinity, keeps the last of two equal
keys and lets lone surrogates through (RFC 8259 leaves all four open). Here each of them is
refused, as are a byte order mark, deep nesting and numbers of hundreds of digits.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, chain
from typing import NoReturn

from ..errors import BodyTooLarge, MalformedBody
from .allowance import Allowance

#: Parsed lists take up to 50 times the memory of their text, so text is for small things.
MAX_BYTES = 8 * 2**20
MAX_DEPTH = 32
MAX_DIGITS = 300

_LARGE = 64 * 2**10

_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NEITHER_QUOTE_NOR_BRACKET = bytes(set(range(256)) - set(b'"[]{}'))
# Marks of numbers that may overflow or be very long, once each digit is a 0. Only where there is
# one, the slow, checking parser is needed: up to 200 digits an exponent of two fits a double.
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBERS = (b"e000", b"e+000", b"0" * 200)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..")


def loads(
    data: bytes | bytearray | memoryview, what: str, allowance: Allowance | None = None
) -> object:
    """Parse one JSON text.

    :param data: the text as UTF-8, with no byte order mark; white space may surround it.
    :param what: what the text is, as an error names it.
    :param allowance: what its values may take; ``None`` for as much as a whole message.
    :raises MalformedBody: if the text is not strict JSON; never with a piece of the text.
    :raises BodyTooLarge: if it is longer than ``MAX_BYTES``, or takes more than is allowed.
    """
    if len(data) > MAX_BYTES:
        raise BodyTooLarge(
            f"{what} has {len(data)} bytes, at most {MAX_BYTES} are read: send tensors as binary"
        )
    raw = bytes(data)
    (allowance or Allowance()).take_json(raw, what)
    _check_depth(raw, what)
    try:
        text = raw.decode("utf-8")
        digits = raw.translate(_DIGITS)
        checked = any(mark in digits for mark in _LONG_NUMBERS)
        with _hold_back_collector(len(raw)):
            value = json.loads(
                text,
                object_pairs_hook=_make_object,
                parse_constant=_refuse_constant,
                parse_float=_parse_float if checked else None,
                parse_int=_parse_int if checked else None,
            )
    except UnicodeDecodeError as error:
        raise MalformedBody(f"{what} is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise MalformedBody(f"{what} is not JSON: {error.msg} ({at})") from None
    except _Refused as error:
        raise MalformedBody(f"{what} holds {error}") from None
    if _has_half_pair(text):
        raise MalformedBody(f"{what} holds half of a surrogate pair")
    return value


def loads_object(
    data: bytes | bytearray | memoryview, what: str, allowance: Allowance | None = None
) -> dict[str, object]:
    """Parse one JSON text that must be an object; errors as of :func:`loads`."""
    value = loads(data, what, allowance)
    if not isinstance(value, dict):
        raise MalformedBody(f"{what} must be a JSON object, got {name_json_type(value)}")
    return value


def name_json_type(value: object) -> str:
    """Return the JSON name of a parsed value's type, for messages."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    return names.get(type(value)) or ("a list" if isinstance(value, list) else "an object")


class _Refused(Exception):
    """A construct that the strict reading does not take."""


def _check_depth(raw: bytes, what: str) -> None:
    # With the escapes gone, every second piece between quotes lies outside of the strings.
    bare = raw.replace(rb"\\", b"").replace(rb"\"", b"").translate(None, _NEITHER_QUOTE_NOR_BRACKET)
    outside_strings = chain.from_iterable(bare.split(b'"')[::2])
    if max(accumulate(map(_STEP.__getitem__, outside_strings)), default=0) > MAX_DEPTH:
        raise MalformedBody(f"{what} is nested more than {MAX_DEPTH} deep")


def _has_half_pair(text: str) -> bool:
    """Whether an escape of a JSON text is half of a surrogate pair, with the other half missing."""
    if not _SURROGATE.search(text):
        return False
    # What is cut out leaves spaces, so that nothing else comes together.
    return bool(_SURROGATE.search(_PAIR.sub(" ", text.replace("\\\\", "  "))))


@contextmanager
def _hold_back_collector(size: int) -> Iterator[None]:
    """Pause the garbage collector while a large text is parsed, which makes no cycles.

    It would look at every object time and again, which takes two thirds of the whole time.
    """
    if size < _LARGE:
        yield
        return
    import gc  # noqa: PLC0415 - importing the client loads nothing that it can do without

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("an object with a key that appears twice")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name}, which is not JSON")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused("a number too large for a double")
    return value


def _parse_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Refused(f"an integer of more than {MAX_DIGITS} digits")
    return int(text)
