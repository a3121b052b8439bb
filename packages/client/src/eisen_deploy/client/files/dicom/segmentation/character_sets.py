"""Text in DICOM: read in whatever character set it has, written in one that holds all of it.

The sets that scanners declare include unknown terms, single ones that need a second, and empty
ones (PS3.3, C.12.1.1.2). pydicom reads the text nevertheless. It is written in the set of the
images if that is one of a single byte that holds it all, for old systems compare names byte by
byte; otherwise in UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from eisen_deploy.client.files.libraries import require

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

_ASCII = ("", "ISO_IR 6", "ISO 2022 IR 6")
_UTF8 = "ISO_IR 192"

TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
#: The sets of one byte without code extensions; Python calls them the same.
_SINGLE_BYTE = tuple(
    f"ISO_IR {number}" for number in (6, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166)
)
#: Latin alphabet No. 9, which pydicom does not know and reads as No. 1.
_LATIN_9 = ("ISO_IR 203", "ISO 2022 IR 203")
#: Sets of two bytes that some programs (pydicom for one) change to without an escape sequence.
_TWO_BYTES = {"ISO 2022 IR 58": "gb2312", "ISO 2022 IR 149": "euc_kr"}
#: A change of the character set (ISO 2022), which pydicom leaves in the text of ``ISO 2022 IR 58``.
_ESCAPE = re.compile(r"\x1b\$?[(-/]?[0-~]")


def read_terms(header: Dataset) -> tuple[str, ...]:
    """Return the terms of a header's Specific Character Set; nothing if it is absent or empty."""
    value = header.get("SpecificCharacterSet") or ()
    values = [value] if isinstance(value, str) else value
    return tuple(str(term).strip() for term in values) if any(values) else ()


def decode_text(text: str, terms: Sequence[str]) -> str:
    """Return what a text means whose bytes pydicom has read under these terms."""
    if set(terms) & set(_LATIN_9):
        text = text.encode("iso8859_1", "replace").decode("iso8859_15")
    text = _ESCAPE.sub("", text)
    if terms and terms[0] in _ASCII and not text.isascii():
        for term in set(terms) & set(_TWO_BYTES):
            with suppress(UnicodeError):
                return text.encode("iso8859_1").decode(_TWO_BYTES[term])
    return text


def read_text(header: Dataset, keyword: str) -> str:
    """Return the value of an attribute as text; nothing if it is absent or cannot be read."""
    return decode_text(_read_raw_text(header, keyword), read_terms(header)).strip()


def _read_raw_text(header: Dataset, keyword: str) -> str:
    try:
        value = header.get(keyword)
    except Exception:  # noqa: BLE001 - it breaks the rules of its type
        return ""
    return "" if value is None else str(value)


def is_doubtful(header: Dataset, keyword: str) -> bool:
    """Whether a text may be read wrong: it has characters of a set that is not declared."""
    terms = read_terms(header)
    if "\x1b$" in _read_raw_text(header, keyword) and not set(terms) & set(_TWO_BYTES):
        return True
    known = require("pydicom.charset", "dicom").python_encoding
    beyond = [term for term in terms if term not in _ASCII]
    is_declared = bool(beyond) and all(term in known or term in _LATIN_9 for term in beyond)
    return not is_declared and not read_text(header, keyword).isascii()


def declare_character_set(dataset: Dataset, terms: Sequence[str]) -> None:
    """Set the Specific Character Set of a dataset whose texts are decoded.

    :param terms: those of the images that it belongs to.
    """
    texts = "".join(_list_texts(dataset))
    dataset.SpecificCharacterSet = _UTF8
    (single, *others) = terms or ("ISO_IR 6",)
    if single in _SINGLE_BYTE and not others:
        with suppress(UnicodeEncodeError):
            texts.encode(single)
            dataset.SpecificCharacterSet = single
    if dataset.SpecificCharacterSet == "ISO_IR 6":  # the default has no term, it is absent
        del dataset.SpecificCharacterSet


def _list_texts(dataset: Dataset) -> Iterator[str]:
    """Yield the texts of a dataset; those of its frames are codes of highdicom's, in ASCII."""
    for element in dataset:
        if element.VR == "SQ" and element.keyword != "PerFrameFunctionalGroupsSequence":
            for item in element.value:
                yield from _list_texts(item)
        elif element.VR in TEXTS:
            yield from map(str, list_values(element))


def list_values(element: DataElement) -> Sequence[object]:
    """Return the values of an element; nothing if it is empty."""
    value = element.value
    if value is None or value == "":
        return ()
    return value if isinstance(value, (list, tuple)) or element.VM > 1 else (value,)
