"""Segments of masks: codes of anatomical structures by the names of labels."""

from __future__ import annotations

from typing import Any

_LONGEST_LABEL = 64

# SNOMED CT, as the context groups of DICOM (PS3.16) have it.
_CODES = {
    "adrenal gland": "23451007",
    "aorta": "15825003",
    "brain": "12738006",
    "cerebellum": "113305005",
    "colon": "71854001",
    "duodenum": "38848004",
    "esophagus": "32849002",
    "femur": "71341001",
    "gallbladder": "28231008",
    "heart": "80891009",
    "hippocampus": "5366008",
    "inferior vena cava": "64131007",
    "kidney": "64033007",
    "left atrium": "82471001",
    "left ventricle": "87878005",
    "liver": "10200004",
    "lung": "39607008",
    "pancreas": "15776009",
    "portal vein": "32764006",
    "prostate": "41216001",
    "pulmonary artery": "81040000",
    "right atrium": "73829009",
    "right ventricle": "53085002",
    "sacrum": "54735007",
    "small intestine": "30315005",
    "spinal cord": "2748008",
    "spleen": "78961009",
    "sternum": "56873002",
    "stomach": "69695003",
    "superior vena cava": "48345005",
    "thyroid": "69748006",
    "trachea": "44567001",
    "bladder": "89837001",
    "uterus": "35039007",
}


def find_code(label: str) -> str | None:
    """Return the code of a structure such as ``"SCT:10200004"``, if the name is one that is known.

    Names that say more than that, such as a side or a part, have none: a code has to mean the same.
    """
    code = _CODES.get(" ".join(label.lower().replace("_", " ").split()))
    return None if code is None else f"SCT:{code}"


def make_segment(number: int, label: str) -> dict[str, Any]:
    """Return what the metadata say of a number in a mask."""
    code = find_code(label)
    segment = {"number": number, "label": label[:_LONGEST_LABEL]}
    return segment if code is None else {**segment, "code": code}
