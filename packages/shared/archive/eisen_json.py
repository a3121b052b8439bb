"""``eisen.json``: what an archive holds, and the digest of every file in it.

The file is canonical JSON, so each of its bytes is determined by what it says::

    {
      "format": 1,
      "model": {"name": "seg", "version": "1.0", "form": "eager", "file": "model.pt",
                "keywords": [], "training": []},
      "transforms": {"pre_processing": "pre_process_tform.pkl", "post_processing": null},
      "handler": null,
      "packed_with": {"python": "3.11.7", "torch": "2.13.0", ...},
      "modules": {"nets.unet": {"decision": "captured", "file": "captured_code/nets/unet.py"}, ...},
      "requirements": ["monai==1.6.1", ...],
      "sample": null,
      "serving": null,
      "batches": {"shared": false, "reason": "...", "tried": 0, "refused": 0},
      "files": {"MAR-INF/MANIFEST.json": {"sha256": "...", "size": 224}, ...},
      "digest": "..."
    }

``form`` is ``eager`` (a pickled module), ``torchscript`` or ``export``; ``keywords`` are the inputs
that the model takes by name, ``training`` its submodules that are in training mode while it is in
evaluation mode (both may be missing in older archives). A transform is the name of
its file or null for identity. ``handler`` is null or ``{"file", "class"}`` of a subclass of
``EisenServingHandler``; with another handler there is ``entry``, which is its file or the name by
which TorchServe knows it. ``modules`` says where a server finds each module that model
and transforms need, ``requirements`` which distributions it needs. ``sample`` is null or
``{"request": BODY, "reply": BODY, "tolerance": number}``, with two bodies of the Open Inference
Protocol as ``{"file", "json_size"}``; ``serving`` is null or the file with options for the
server; ``batches`` says whether requests may share a forward pass, and why (:mod:`.batches`).
Which values each may have, :mod:`.allowed_values` says.
``files`` lists every file but this one; ``digest`` is the SHA-256 of this file's canonical text
without it, and so stands for the whole archive.

The digests find damage and mix-ups. They are not a signature: whoever can rewrite an archive
can rewrite them too.
"""

from __future__ import annotations

import hashlib
import json

from ..errors import ContractError, CorruptArchive, refuse_if
from ..wire import strict_json
from . import allowed_values, batches
from .allowed_values import Contents
from .description import Description

FILE_NAME = "eisen.json"
FORMAT = 1

# The structure of the parts that have to be there: the types of their values, ``...`` for any key.
_FILES = {...: {"sha256": object, "size": object}}
_BODY = {"file": str, "json_size": (int, None)}
_PARTS = {
    "model": {"name": str, "version": str, "form": str, "file": str},
    "transforms": {...: (str, None)},
    "handler": ({"file": str, "class": str}, None),
    "packed_with": {...: object},
    "modules": {...: {"decision": str}},
    "requirements": [str],
    "sample": ({"request": _BODY, "reply": _BODY, "tolerance": (int, float)}, None),
    "serving": (str, None),
}


def encode(about: Contents) -> bytes:
    """Return the text of the file, with its digest.

    :param about: every key of the file but ``format`` and ``digest``.
    """
    contents = {"format": FORMAT, **about}
    return _canonical({**contents, "digest": _digest(contents)})


def parse(raw: bytes) -> Description:
    """Return what the file says, once it has been checked against itself.

    :raises CorruptArchive: if it is damaged, or of a format that is not known here.
    """
    try:
        contents = strict_json.loads_object(raw, FILE_NAME)
    except ContractError as error:
        raise CorruptArchive(error.problems) from None
    if contents.get("digest") != _digest(contents) or raw != _canonical(contents):
        raise CorruptArchive(f"{FILE_NAME} was changed: its digest is not that of its text")
    if contents.get("format") != FORMAT:
        raise CorruptArchive(
            f"{FILE_NAME} has format {contents.get('format')!r}, known here is {FORMAT}: "
            "use a handler as new as the packaging"
        )
    if not _fits(contents.get("files"), _FILES):
        raise CorruptArchive(f"{FILE_NAME} does not list size and sha256 of each file")
    if not _has_every_part(contents):
        raise CorruptArchive(
            f"{FILE_NAME} does not give name, version, form and file of a model, two transforms, "
            "a handler, what packed them, their modules and requirements, a sample, options for a "
            "server and batches, each with a file of the list"
        )
    refuse_if([f"{FILE_NAME}: {problem}" for problem in allowed_values.find_problems(contents)])
    return Description.from_json(contents)


def _has_every_part(contents: Contents) -> bool:
    return (
        _fits(contents, _PARTS)
        and _fits(contents.get("entry", ""), str)
        and all(_fits(contents["model"].get(key, []), [str]) for key in ("keywords", "training"))
        and contents["model"]["form"] in allowed_values.MODEL_FILES
        and contents["transforms"].keys() == allowed_values.TRANSFORM_FILES.keys()
        and batches.is_batches(contents.get("batches"))
        and _list_named_files(contents) <= contents["files"].keys()
    )


def _fits(value: object, expected: object) -> bool:
    """Whether a value is of a type, of one of several, or a list or dict of what is expected."""
    if isinstance(expected, tuple):
        return any(_fits(value, choice) for choice in expected)
    if isinstance(expected, list):
        return isinstance(value, list) and all(_fits(item, expected[0]) for item in value)
    if isinstance(expected, dict):
        if not isinstance(value, dict):
            return False
        parts = dict.fromkeys(value, expected[...]) if ... in expected else expected
        return all(key in value and _fits(value[key], part) for key, part in parts.items())
    return value is None if expected is None else expected in (object, type(value))


def _list_named_files(contents: Contents) -> set[str]:
    handler, sample = contents["handler"], contents["sample"]
    named = [contents["model"]["file"], *contents["transforms"].values(), contents["serving"]]
    named += [handler["file"]] if handler else []
    named += [sample[part]["file"] for part in ("request", "reply")] if sample else []
    return {str(name) for name in named if name is not None}


def _digest(contents: Contents) -> str:
    rest = {key: value for key, value in contents.items() if key != "digest"}
    return hashlib.sha256(_canonical(rest)).hexdigest()


def _canonical(contents: Contents) -> bytes:
    text = json.dumps(contents, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8")
