"""``eisen-pack diff``: what differs between two archives."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._shared.archive.reader import Archive
from eisen_deploy.packaging._shared.command.terminal import say
from eisen_deploy.packaging._shared.printable import clean

from .archive import as_json, named, open_archive
from .inspect import as_json_line, said_of
from .tables import section
from .trust import DILL_FOLDER, HANDLER_FOLDER, importable

_EXAMPLE = """\
example:
  eisen-pack diff old/seg.mar new/seg.mar

exit status: 0 without differences, 1 with some, 2 in case of trouble
"""

Difference = dict[str, Any]

_TEXT_LIMIT = 2**20  # bytes of a source that is shown line by line
_NOTHING: Any = object()
_LINE_END = re.compile(r"\r?\n|\r\Z")

# A group that differs accounts for these files.
_FILES_OF = {
    "metadata": ("metadata.json",),
    "requirements": ("requirements.txt",),
    "model": ("MAR-INF/MANIFEST.json",),
    "handler": ("MAR-INF/MANIFEST.json",),
    "serving": ("MAR-INF/MANIFEST.json", "model-config.yaml"),
}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "diff",
        help="say what differs between two archives",
        description="Say what differs between two archives, by what they say of themselves. Runs "
        "nothing of them.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", type=Path, help="an archive")
    parser.add_argument("b", metavar="B", type=Path, help="another one")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Compare two archives."""
    said = compare(arguments.a, arguments.b)
    if arguments.json:
        say(as_json(said))
    else:
        for group, differences in said["differences"].items():
            if differences:
                say(section(group.capitalize(), _lines(differences)).removesuffix("\n"))
    return 0 if said["same"] else 1


def compare(a: Path, b: Path) -> dict[str, Any]:
    """Return all differences, grouped; the keys are documented and stay.

    :raises Failed: if one of them cannot be read.
    """
    first, second = open_archive(a), open_archive(b)
    with named(a):
        one = said_of(first)
    with named(b):
        other = said_of(second)
    groups = {
        "metadata": list(_changes(one["metadata"], other["metadata"])),
        "model": list(_changes(one["model"], other["model"])),
        "transforms": list(_changes(one["transforms"], other["transforms"])),
        "handler": list(_changes(_handler(first, one), _handler(second, other))),
        "modules": [*_changes(one["modules"], other["modules"]), *_sources(first, second)],
        "requirements": _in_one_only(one["requirements"], other["requirements"]),
        "versions": list(_changes(one["packed_with"], other["packed_with"])),
        "serving": list(_changes(one["serving"], other["serving"], "serving")),
        "sample": list(_changes(_sample(first), _sample(second), "sample")),
    }
    groups["files"] = list(_files(first, second, groups))
    return {
        "a": {"archive": str(a), "digest": one["digest"]},
        "b": {"archive": str(b), "digest": other["digest"]},
        "same": not any(groups.values()),
        "differences": groups,
    }


# --- what differs -------------------------------------------------------------------------


def _changes(a: Any, b: Any, where: str = "") -> Iterator[Difference]:
    """Yield what differs between two values of JSON, each by its path."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            inner = f"{where}.{key}" if where else str(key)
            yield from _changes(a.get(key, _NOTHING), b.get(key, _NOTHING), inner)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _changes(one, other, f"{where}[{index}]")
    elif type(a) is not type(b) or a != b:
        yield _difference(where, a, b)


def _difference(what: str, a: Any, b: Any) -> Difference:
    """Return one difference; what is missing is ``null``, as is what is null."""
    return {"what": what, "a": None if a is _NOTHING else a, "b": None if b is _NOTHING else b}


def _in_one_only(a: list[str], b: list[str]) -> list[Difference]:
    gone = [_difference("requirement", text, _NOTHING) for text in a if text not in b]
    return gone + [_difference("requirement", _NOTHING, text) for text in b if text not in a]


def _handler(archive: Archive, said: Mapping[str, Any]) -> dict[str, Any]:
    own = archive.about.handler
    return {**said["handler"], "sha256": own and archive.about.files[own.file].sha256}


def _sample(archive: Archive) -> dict[str, Any] | None:
    sample = archive.about.sample
    if sample is None:
        return None
    bodies = {"request": sample.request, "reply": sample.reply}
    listed = {part: archive.describe_file(body.file) for part, body in bodies.items()}
    return {**listed, "tolerance": sample.tolerance}


def _sources(a: Archive, b: Archive) -> Iterator[Difference]:
    """Yield each file of code that differs, with its lines where they can be shown."""
    for name in sorted({*importable(a), *importable(b)}):
        one, other = (_sha256_of(archive, name) for archive in (a, b))
        if one != other:
            difference = _difference(name, one, other)
            yield {**difference, "diff": _diff_of(name, _text(a, name), _text(b, name))}


def _sha256_of(archive: Archive, name: str) -> str | None:
    listed = archive.about.files.get(name)
    return None if listed is None else listed.sha256


def _text(archive: Archive, name: str) -> str | None:
    """Return a source; empty if there is none, ``None`` if it cannot be shown."""
    entry = archive.entries.get(name)
    if entry is None:
        return ""
    if entry.size > _TEXT_LIMIT:
        return None
    with named(archive.path):
        content = archive.read(name)
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _diff_of(name: str, a: str | None, b: str | None) -> list[str] | None:
    if a is None or b is None:
        return None
    one, other = (_LINE_END.split(text.removesuffix("\n")) for text in (a, b))
    return list(difflib.unified_diff(one, other, f"a/{name}", f"b/{name}", lineterm=""))


def _files(a: Archive, b: Archive, groups: Mapping[str, list[Difference]]) -> Iterator[Difference]:
    """Yield what differs and is in no other group; the handler and dill are one difference each."""
    told = {*a.about.payload_files(), *b.about.payload_files(), *importable(a), *importable(b)}
    told |= {name for group, names in _FILES_OF.items() if groups[group] for name in names}
    for folder in (HANDLER_FOLDER, DILL_FOLDER):
        one, other = _in_folder(a, folder), _in_folder(b, folder)
        if one != other:
            yield _difference(folder, _counted(one, other), _counted(other, one))
    for name in sorted({*a.about.files, *b.about.files} - told):
        if not name.startswith((HANDLER_FOLDER, DILL_FOLDER)):
            yield from _changes(_identity(a, name), _identity(b, name), name)


def _identity(archive: Archive, name: str) -> str | None:
    """Return what a file is, by both of its checksums: they are of two sources."""
    if name not in archive.entries:
        return None
    return f"{archive.about.files[name].sha256[:16]} (CRC-32 {archive.entries[name].crc32:08x})"


def _in_folder(archive: Archive, folder: str) -> dict[str, str]:
    files = archive.about.files
    return {name: listed.sha256 for name, listed in files.items() if name.startswith(folder)}


def _counted(files: Mapping[str, str], others: Mapping[str, str]) -> str:
    own = sum(others.get(name) != sha256 for name, sha256 in files.items())
    return f"{len(files)} files, {own} of them not in the other"


# --- for people ---------------------------------------------------------------------------


def _lines(differences: list[Difference]) -> Iterator[str]:
    for difference in differences:
        lines = difference.get("diff")
        if lines:
            yield from map(clean, lines)
        else:
            a, b = _shown(difference["a"]), _shown(difference["b"])
            yield clean(f"{difference['what']}: {a} -> {b}")


def _shown(value: Any) -> str:
    return "none" if value is None else as_json_line(value)
