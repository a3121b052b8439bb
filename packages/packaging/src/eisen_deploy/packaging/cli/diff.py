"""``eisen-pack diff``: what differs between two archives."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from eisen_deploy.packaging._shared.archive.reader import Archive
from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging._shared.command.terminal import say
from eisen_deploy.packaging._shared.printable import clean

from .archive import describe, open_archive
from .errors import name_archive
from .output import format_json, format_json_line, format_section
from .trust import DILL_FOLDER, HANDLER_FOLDER, find_importable, hash_folder

_EXAMPLE = """\
example:
  eisen-pack diff old/seg.mar new/seg.mar

exit status: 0 without differences, 1 with some, 2 in case of trouble
"""

#: What differs, and its value in each archive; of code also the lines, if they can be shown.
Difference = dict[str, object]

_TEXT_LIMIT = 2**20  # bytes of a source that is shown line by line
_NOTHING = object()
_LINE_END = re.compile(r"\r?\n|\r\Z")

# A group that differs accounts for these files.
_FILES_OF = {
    "metadata": ("metadata.json",),
    "requirements": ("requirements.txt",),
    "model": ("MAR-INF/MANIFEST.json",),
    "handler": ("MAR-INF/MANIFEST.json",),
    "serving": ("MAR-INF/MANIFEST.json", "model-config.yaml"),
}


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "diff",
        help="show what differs between two archives",
        description="Show what differs between two archives, by what they say of themselves. Runs "
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
    a, b = open_archive(arguments.a), open_archive(arguments.b)
    groups = find_differences(a, b)
    is_same = not any(groups.values())
    if arguments.json:  # the keys are documented and stay
        found = {
            "a": {"archive": str(a.path), "digest": a.about.digest},
            "b": {"archive": str(b.path), "digest": b.about.digest},
            "same": is_same,
            "differences": groups,
        }
        say(format_json(found))
    else:
        for group, differences in groups.items():
            if differences:
                lines = _format_lines(differences)
                say(format_section(group.capitalize(), lines).removesuffix("\n"))
    return 0 if is_same else 1


def find_differences(a: Archive, b: Archive) -> dict[str, list[Difference]]:
    """Return all differences, grouped; the names of the groups are documented and stay.

    :raises Failed: if a small file of one of them is damaged.
    """
    one, other = describe(a), describe(b)

    def compare(key: str, where: str = "") -> list[Difference]:
        return list(_compare(one[key], other[key], where))

    groups = {
        "metadata": compare("metadata"),
        "model": compare("model"),
        "transforms": compare("transforms"),
        "handler": [*compare("handler"), *_compare(_hash_handler(a), _hash_handler(b), "sha256")],
        "modules": [*compare("modules"), *_compare_sources(a, b)],
        "requirements": _compare_requirements(a.about.requirements, b.about.requirements),
        "versions": compare("packed_with"),
        "serving": compare("serving", "serving"),
        "sample": list(_compare(_describe_sample(a), _describe_sample(b), "sample")),
    }
    groups["files"] = list(_compare_other_files(a, b, groups))
    return groups


# --- what differs -------------------------------------------------------------------------


def _compare(a: object, b: object, where: str) -> Iterator[Difference]:
    """Yield what differs between two values of JSON, each by its path."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            inner = f"{where}.{key}" if where else str(key)
            yield from _compare(a.get(key, _NOTHING), b.get(key, _NOTHING), inner)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _compare(one, other, f"{where}[{index}]")
    elif type(a) is not type(b) or a != b:
        yield _make_difference(where, a, b)


def _make_difference(what: str, a: object, b: object) -> Difference:
    """Return one difference; what is missing is ``null``, as is what is null."""
    return {"what": what, "a": None if a is _NOTHING else a, "b": None if b is _NOTHING else b}


def _compare_requirements(a: Sequence[str], b: Sequence[str]) -> list[Difference]:
    gone = [_make_difference("requirement", text, _NOTHING) for text in a if text not in b]
    return gone + [_make_difference("requirement", _NOTHING, text) for text in b if text not in a]


def _hash_handler(archive: Archive) -> str | None:
    own = archive.about.handler
    return archive.about.files[own.file].sha256 if own else None


def _describe_sample(archive: Archive) -> dict[str, object] | None:
    sample = archive.about.sample
    if sample is None:
        return None
    bodies = {"request": sample.request, "reply": sample.reply}
    listed = {part: archive.describe_file(body.file) for part, body in bodies.items()}
    return {**listed, "tolerance": sample.tolerance}


def _compare_sources(a: Archive, b: Archive) -> Iterator[Difference]:
    """Yield each file of code that differs, with its lines where they can be shown."""
    for name in sorted({*find_importable(a), *find_importable(b)}):
        one, other = (_get_sha256(archive, name) for archive in (a, b))
        if one != other:
            lines = _diff_lines(name, _read_text(a, name), _read_text(b, name))
            yield {**_make_difference(name, one, other), "diff": lines}


def _get_sha256(archive: Archive, name: str) -> str | None:
    listed = archive.about.files.get(name)
    return None if listed is None else listed.sha256


def _read_text(archive: Archive, name: str) -> str | None:
    """Return a source; empty if there is none, ``None`` if it cannot be shown."""
    entry = archive.entries.get(name)
    if entry is None:
        return ""
    if entry.size > _TEXT_LIMIT:
        return None
    with name_archive(archive.path):
        content = archive.read(name)
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _diff_lines(name: str, a: str | None, b: str | None) -> list[str] | None:
    if a is None or b is None:
        return None
    one, other = (_LINE_END.split(text.removesuffix("\n")) for text in (a, b))
    return list(difflib.unified_diff(one, other, f"a/{name}", f"b/{name}", lineterm=""))


def _compare_other_files(
    a: Archive, b: Archive, groups: Mapping[str, list[Difference]]
) -> Iterator[Difference]:
    """Yield what differs and is in no other group; the handler and dill are one difference each."""
    covered = {name for group, names in _FILES_OF.items() if groups[group] for name in names}
    for archive in (a, b):
        covered.update(archive.about.payload_files(), find_importable(archive))
    for folder in (HANDLER_FOLDER, DILL_FOLDER):
        one, other = hash_folder(a, folder), hash_folder(b, folder)
        if one != other:
            yield _make_difference(folder, _count_files(one, other), _count_files(other, one))
    for name in sorted({*a.about.files, *b.about.files} - covered):
        if not name.startswith((HANDLER_FOLDER, DILL_FOLDER)):
            yield from _compare(_get_checksums(a, name), _get_checksums(b, name), name)


def _get_checksums(archive: Archive, name: str) -> str | None:
    """Return what a file is, by both of its checksums: they are of two sources."""
    if name not in archive.entries:
        return None
    return f"{archive.about.files[name].sha256[:16]} (CRC-32 {archive.entries[name].crc32:08x})"


def _count_files(files: Mapping[str, str], others: Mapping[str, str]) -> str:
    own = sum(others.get(name) != sha256 for name, sha256 in files.items())
    return f"{len(files)} files, {own} of them not in the other"


# --- for people ---------------------------------------------------------------------------


def _format_lines(differences: list[Difference]) -> Iterator[str]:
    for difference in differences:
        lines = difference.get("diff")
        if isinstance(lines, list) and lines:
            yield from map(clean, lines)
        else:
            a, b = _format_value(difference["a"]), _format_value(difference["b"])
            yield clean(f"{difference['what']}: {a} -> {b}")


def _format_value(value: object) -> str:
    return "none" if value is None else format_json_line(value)
