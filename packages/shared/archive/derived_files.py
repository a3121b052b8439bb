"""The files of an archive that follow from its ``eisen.json``, and the check that they do.

TorchServe and pip read these, not ``eisen.json``, and TorchServe acts on them before any handler
can check a digest: by the manifest it picks the handler, installs what a file of requirements asks
for, and takes over a file of options. So each has to say what ``eisen.json`` says, and
no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..errors import ContractError
from ..model import serving_options
from ..wire import strict_json
from . import requirements
from .description import Description
from .names import quote_name

MANIFEST = "MAR-INF/MANIFEST.json"
METADATA = "metadata.json"

Check = Callable[[bytes, Description], Iterable[str]]

_OPTIONS = serving_options.FILE_NAME
_VERSION = re.compile(r"[A-Za-z0-9._+-]{1,40}")


def find_problems(described: Description, read: Callable[[str], bytes]) -> list[str]:
    """Return one sentence for each thing in which one of these files differs.

    :param described: what ``eisen.json`` says.
    :param read: returns the content of a file that it lists.
    """
    found = [f"{name} is missing" for name in (MANIFEST, METADATA) if name not in described.files]
    checks: dict[str, Check] = {
        MANIFEST: _check_manifest,
        METADATA: _check_metadata,
        _OPTIONS: _check_options,
        requirements.FILE_NAME: _check_requirements,
    }
    for name, check in checks.items():
        if name in described.files:
            size = described.files[name].size
            if size > strict_json.MAX_BYTES:
                found.append(f"{name} has {size} bytes, at most {strict_json.MAX_BYTES} are read")
            else:
                found += _run_check(check, read(name), described)
    if described.requirements and requirements.FILE_NAME not in described.files:
        found.append(f"{requirements.FILE_NAME} is missing")
    return found


def _run_check(check: Check, raw: bytes, described: Description) -> Iterator[str]:
    """Yield the problems that a check finds, or those of a text that it cannot read."""
    try:
        yield from check(raw, described)
    except ContractError as error:
        yield from error.problems


def _check_manifest(raw: bytes, described: Description) -> Iterator[str]:
    said = strict_json.loads_object(raw, MANIFEST)
    archiver = said.pop("archiverVersion", None)
    if not isinstance(archiver, str) or not _VERSION.fullmatch(archiver):
        yield f"{MANIFEST} has no archiverVersion"
    model = said.pop("model", None)
    if not isinstance(model, dict):
        yield f"{MANIFEST} describes no model"
        return
    expected = {
        "modelName": described.model.name,
        "modelVersion": described.model.version,
        "serializedFile": described.model.file,
        "handler": described.entry,
    }
    if described.serving is not None:
        expected["configFile"] = described.serving
    yield from _compare(model, expected, "model.")
    yield from _compare(said, {"runtime": "python"}, "")


def _compare(said: Mapping[str, object], expected: Mapping[str, str], where: str) -> Iterator[str]:
    for key in sorted({*said, *expected}):
        if key not in said:
            yield f"{MANIFEST} lacks {where}{key}, expected {expected[key]!r:.80}"
        elif key not in expected:
            yield f"{MANIFEST} has {quote_name(where + key)}, of which eisen.json says nothing"
        elif type(said[key]) is not type(expected[key]) or said[key] != expected[key]:
            yield (
                f"{MANIFEST} has {where}{key} {said[key]!r:.80}, and by eisen.json it is "
                f"{expected[key]!r:.80}"
            )


def _check_metadata(raw: bytes, _: Description) -> Iterable[str]:
    strict_json.loads_object(raw, METADATA)
    return ()


def _check_options(raw: bytes, described: Description) -> Iterator[str]:
    if described.serving is None:
        yield f"{_OPTIONS} is there, and eisen.json says nothing of serving options"
    if serving_options.render(serving_options.read(raw)) != raw:
        yield f"{_OPTIONS} is not written as packaging writes it"


def _check_requirements(raw: bytes, described: Description) -> Iterator[str]:
    if not described.requirements or raw != requirements.render(described.requirements):
        yield f"{requirements.FILE_NAME} does not hold the requirements of eisen.json"
