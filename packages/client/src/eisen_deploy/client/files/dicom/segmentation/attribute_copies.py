"""Copies of attributes, as they can be read and written again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from eisen_deploy.client.files.libraries import require

from .character_sets import TEXTS, decode_text, list_values, read_terms

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

#: Shown to highdicom as the class of every image: it does not know all classes.
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


class CopyableHeader:
    """A header as highdicom copies from it: what cannot be copied is as if it were absent."""

    SOPClassUID = CT_IMAGE
    SOPInstanceUID = ""

    def __init__(self, header: Dataset) -> None:
        self.left_out: list[str] = []
        self._header = header

    def __getitem__(self, tag: int) -> DataElement:
        keyword = require("pydicom.datadict", "dicom").keyword_for_tag(tag)
        if tag not in self._header:
            raise KeyError(keyword)
        element = copy_attribute(self._header, keyword)
        if element is None:
            self.left_out.append(keyword)
            raise KeyError(keyword)
        return element


def copy_attribute(header: Dataset, keyword: str) -> DataElement | None:
    """Return a copy of an attribute, texts decoded; ``None`` if it cannot be read or written."""
    if keyword not in header:
        return None
    try:
        element = _copy_element(header[keyword], read_terms(header))
        _write(deepcopy(element))  # a name keeps the bytes that it was written as
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever pydicom makes of values that break the rules
        return None
    return element


def add_copies(dataset: Dataset, header: Dataset, keywords: Iterable[str]) -> None:
    """Copy attributes to a dataset, those that can be read and written."""
    for keyword in keywords:
        element = copy_attribute(header, keyword)
        if element is not None:
            dataset[element.tag] = element


def _copy_element(element: DataElement, terms: Sequence[str]) -> DataElement:
    """Return a copy with decoded texts, of the type that the standard has for the attribute."""
    copied = deepcopy(element)
    if copied.VR == "SQ":
        for item in copied.value:
            terms_here = read_terms(item) or terms
            for each in list(item):
                item[each.tag] = _copy_element(each, terms_here)
            item.pop("SpecificCharacterSet", None)  # that of the whole dataset holds for all
        return copied
    if copied.VR in TEXTS:
        # A name that was read keeps its bytes and their character set: make a new one.
        texts = [decode_text(str(value), terms) for value in list_values(element)]
        copied.value = texts if len(texts) > 1 else "".join(texts)
    datadict = require("pydicom.datadict", "dicom")
    if not datadict.dictionary_has_tag(copied.tag):
        return copied
    # What breaks the rules of its type, pydicom reads as text: that would be written as such.
    vr = datadict.dictionary_VR(copied.tag)
    standard: DataElement = require("pydicom", "dicom").DataElement(copied.tag, vr, copied.value)
    return standard


def _write(element: DataElement) -> None:
    file = require("pydicom.filebase", "dicom").DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    require("pydicom.filewriter", "dicom").write_data_element(file, element, ["utf8"])
