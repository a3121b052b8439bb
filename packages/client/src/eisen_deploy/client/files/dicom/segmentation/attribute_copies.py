"""Copies of attributes, as they can be read and written again."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from eisen_deploy.client.files.extras import require

from .character_sets import TEXTS, decoded, terms_of, values_of

#: Shown to highdicom as the class of every image: it does not know all classes.
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


class Copies:
    """A header as highdicom copies from it: what cannot be copied is as if it were absent."""

    SOPClassUID = CT_IMAGE
    SOPInstanceUID = ""

    def __init__(self, header: Any) -> None:
        self.left_out: list[str] = []
        self._header = header

    def __getitem__(self, tag: Any) -> Any:
        keyword = require("pydicom.datadict", "dicom").keyword_for_tag(tag)
        if tag not in self._header:
            raise KeyError(keyword)
        element = copy_of(self._header, keyword)
        if element is None:
            self.left_out.append(keyword)
            raise KeyError(keyword)
        return element


def copy_of(header: Any, keyword: str) -> Any:
    """Return a copy of an attribute, texts decoded; ``None`` if it cannot be read or written."""
    if keyword not in header:
        return None
    try:
        element = _copied(header[keyword], terms_of(header))
        _write(deepcopy(element))  # a name keeps the bytes that it was written as
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever pydicom makes of values that break the rules
        return None
    return element


def put(dataset: Any, element: Any) -> None:
    """Add an attribute to a dataset; none if it is ``None``."""
    if element is not None:
        dataset[element.tag] = element


def _copied(element: Any, terms: Sequence[str]) -> Any:
    """Return a copy with decoded texts, of the kind that the standard has for the attribute."""
    copied = deepcopy(element)
    if copied.VR == "SQ":
        for item in copied.value:
            terms_here = terms_of(item) or terms
            for each in list(item):
                item[each.tag] = _copied(each, terms_here)
            item.pop("SpecificCharacterSet", None)  # that of the whole dataset holds for all
        return copied
    if copied.VR in TEXTS:
        # A name that was read keeps its bytes and their character set: make a new one.
        texts = [decoded(str(value), terms) for value in values_of(element)]
        copied.value = texts if len(texts) > 1 else "".join(texts)
    datadict = require("pydicom.datadict", "dicom")
    if not datadict.dictionary_has_tag(copied.tag):
        return copied
    # What breaks the rules of its kind, pydicom reads as text: that would be written as such.
    kind = datadict.dictionary_VR(copied.tag)
    return require("pydicom", "dicom").DataElement(copied.tag, kind, copied.value)


def _write(element: Any) -> None:
    file = require("pydicom.filebase", "dicom").DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    require("pydicom.filewriter", "dicom").write_data_element(file, element, ["utf8"])


def text_of(header: Any, keyword: str) -> str:
    """Return the value of an attribute as text; nothing if it is absent or cannot be read."""
    return decoded(raw_text_of(header, keyword), terms_of(header)).strip()


def raw_text_of(header: Any, keyword: str) -> str:
    """Likewise, as pydicom reads it."""
    try:
        value = header.get(keyword)
    except Exception:  # noqa: BLE001 - it breaks the rules of its kind
        return ""
    return "" if value is None else str(value)
