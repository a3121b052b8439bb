"""Names of images, of objects in Kubernetes, and of files in an image."""

from __future__ import annotations

import re

#: KubeRay and KServe make longer names of services from it, and these may have 63 characters.
LONGEST = 47

_LABEL = re.compile(rf"[a-z](?:[a-z0-9-]{{0,{LONGEST - 2}}}[a-z0-9])?")
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?")
_STORAGE = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+")


def make_label(model: str) -> str:
    """Return what an object in Kubernetes is called that serves a model.

    It is the model's name in small letters, with a hyphen for each dot and underscore.
    """
    return re.sub(r"[._]", "-", model.lower()).strip("-")


def label_problem(label: str) -> str | None:
    """Say what keeps Kubernetes from calling a service and all that belongs to it so, or None."""
    if _LABEL.fullmatch(label):
        return None
    return (
        f"expected 1 to {LONGEST} small letters, digits and hyphens that begin with a letter and "
        f"do not end with a hyphen, got {label!r:.200}"
    )


def image_problem(image: str) -> str | None:
    """Say what keeps a text from naming an image, or None."""
    if len(image) <= 255 and _IMAGE.fullmatch(image):
        return None
    return f"expected the name of an image, such as hospital/seg:1.2, got {image!r:.200}"


def storage_problem(uri: str) -> str | None:
    """Say what keeps a text from being an address that KServe fetches from, or None."""
    if _STORAGE.fullmatch(uri):
        return None
    return f"expected an address such as s3://models/seg.mar or pvc://models/seg, got {uri!r:.200}"
