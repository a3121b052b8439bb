"""Which values ``eisen.json`` may hold: those that packaging writes, and no others.

Names from it become addresses, paths, arguments of commands and lines of logs. Whoever reads an
archive therefore holds each of them against the rule by which packaging gave it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ..model import serving_options
from ..printable import clean
from . import names, requirements

#: An object of ``eisen.json``, parsed; its structure is checked before it is used.
Contents = Mapping[str, Any]

#: The handler that travels in every archive, as the manifest names it to TorchServe.
ENTRY = "_eisen_serving.torchserve.entry"
#: The handlers that TorchServe 0.12 ships and that load a model.pt; they read TorchScript only.
TORCHSERVE_HANDLERS = (
    "base_handler",
    "dali_image_classifier",
    "image_classifier",
    "image_segmenter",
    "object_detector",
    "text_classifier",
)
#: The model's file, by its form.
MODEL_FILES = {"eager": "model.pt", "torchscript": "model.pt", "export": "model.pt2"}
TRANSFORM_FILES = {
    "pre_processing": "pre_process_tform.pkl",
    "post_processing": "post_process_tform.pkl",
}
SAMPLE_FILES = {"request": "sample/request.bin", "reply": "sample/reply.bin"}

_DECISIONS = (
    "standard library",
    "server",
    "archive",
    "installed",
    "captured",
    "given",
    "by value",
    "not found",
    "left out",
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}")
_MODULE = re.compile(r"[^\s./\\:-][^\s./\\:]*(?:\.[^\s./\\:-][^\s./\\:]*)*")


def find_entry(contents: Contents) -> str:
    """Return what TorchServe loads: :data:`ENTRY`, a file, or the name of one of its handlers."""
    return str(contents.get("entry", ENTRY))


def find_problems(contents: Contents) -> list[str]:
    """Return one sentence for each value that packaging does not write.

    :param contents: what the file says; each part is of the type that it has to have.
    """
    if found := list(_check_files(contents["files"])):
        return found
    found += [*_check_model(contents["model"]), *_check_transforms(contents["transforms"])]
    found += [*_check_handler(contents), *_check_versions(contents["packed_with"])]
    found += _check_modules(contents)
    for index, text in enumerate(contents["requirements"]):
        if problem := requirements.requirement_problem(text):
            found.append(f"requirements[{index}]: {problem}")
    found += _check_sample(contents["sample"], contents["files"])
    if contents["batches"]["shared"] and contents["sample"] is None:
        found.append("batches.shared: expected false, since there is no sample that proves it")
    if contents["serving"] not in (None, serving_options.FILE_NAME):
        found.append(_explain("serving", serving_options.FILE_NAME, contents["serving"]))
    return found


def _explain(what: str, expected: object, got: object) -> str:
    shown = names.quote_name(got) if isinstance(got, str) else f"{got!r:.80}"
    return f"{what}: expected {expected}, got {shown}"


def _check_files(files: Mapping[str, Contents]) -> Iterator[str]:
    yield from (f"files: {problem}" for problem in names.find_problems(sorted(files)))
    for name, listed in files.items():
        quoted, size, sha256 = names.quote_name(name), listed["size"], listed["sha256"]
        if problem := names.import_problem(name):
            yield f"files: {quoted} {problem}"
        if type(size) is not int or size < 0:
            yield _explain(f"files: size of {quoted}", "a number", size)
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            yield _explain(f"files: sha256 of {quoted}", "64 digits", sha256)


def _check_model(model: Contents) -> Iterator[str]:
    for part in ("name", "version"):
        if problem := names.identifier_problem(f"model.{part}", model[part]):
            yield problem
    expected = MODEL_FILES[model["form"]]
    if model["file"] != expected:
        yield _explain("model.file", expected, model["file"])


def _check_transforms(transforms: Contents) -> Iterator[str]:
    for part, file in transforms.items():
        if file not in (None, TRANSFORM_FILES[part]):
            yield _explain(f"transforms.{part}", TRANSFORM_FILES[part], file)


def _check_handler(contents: Contents) -> Iterator[str]:
    entry, own = find_entry(contents), contents["handler"]
    files = [] if entry in (ENTRY, *TORCHSERVE_HANDLERS) else [("entry", entry)]
    if own is not None:
        files.append(("handler.file", own["file"]))
        if entry != ENTRY:
            yield _explain("entry", f"{ENTRY}, which loads the class of the handler", entry)
        if not own["class"].isidentifier():
            yield _explain("handler.class", "the name of a class", own["class"])
    for what, name in files:
        if problem := names.handler_file_problem(name):
            yield f"{what}: {names.quote_name(name)} {problem}"
        elif name not in contents["files"]:
            yield f"{what}: {names.quote_name(name)} is not a file of the archive"


def _check_versions(packed_with: Contents) -> Iterator[str]:
    for name, version in packed_with.items():
        if not requirements.NAME.fullmatch(name):
            yield _explain("packed_with", "names of distributions", name)
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            yield _explain(f"packed_with.{clean(name):.80}", "a version", version)


def _check_modules(contents: Contents) -> Iterator[str]:
    for name, said in contents["modules"].items():
        if not _MODULE.fullmatch(name) or clean(name) != name or len(name) > names.BYTES_LIMIT:
            yield _explain("modules", "names of modules", name)
        what = f"modules[{names.quote_name(name)}]"
        if said["decision"] not in _DECISIONS:
            yield _explain(f"{what}.decision", f"one of {', '.join(_DECISIONS)}", said["decision"])
        file, owner = said.get("file"), said.get("distribution")
        if file is not None and (not isinstance(file, str) or file not in contents["files"]):
            yield _explain(f"{what}.file", "a file of the archive", file)
        if owner is not None and not requirements.NAME.fullmatch(str(owner)):
            yield _explain(f"{what}.distribution", "the name of a distribution", owner)


def _check_sample(sample: Optional[Contents], files: Mapping[str, Contents]) -> Iterator[str]:
    if sample is None:
        return
    if not 0 <= sample["tolerance"] < math.inf:
        yield _explain("sample.tolerance", "a number of 0 or more", sample["tolerance"])
    for part, expected in SAMPLE_FILES.items():
        body = sample[part]
        if body["file"] != expected:
            yield _explain(f"sample.{part}.file", expected, body["file"])
        elif not 0 <= (body["json_size"] or 0) <= files[expected]["size"]:
            yield _explain(f"sample.{part}.json_size", "a part of the body", body["json_size"])
