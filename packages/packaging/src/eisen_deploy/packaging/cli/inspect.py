"""``eisen-pack inspect``: what is inside of an archive."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._shared.archive.reader import Archive
from eisen_deploy.packaging._shared.command.terminal import align_columns, format_size, say
from eisen_deploy.packaging._shared.printable import clean

from .archive import as_json, named, open_archive
from .tables import section
from .trust import DILL_FOLDER, HANDLER_FOLDER, describe_loading

_EXAMPLE = """\
examples:
  eisen-pack inspect model_zoo/seg.mar
  eisen-pack inspect --json model_zoo/seg.mar | jq .model
  eisen-pack inspect --requirements model_zoo/seg.mar > requirements.txt
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "inspect",
        help="say what is inside of an archive",
        description="Say what is inside of an archive, and whether loading it can run code. Reads "
        "its directory and its small files only, and runs nothing of it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("archive", metavar="MAR", type=Path, help="the archive")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of tables")
    form.add_argument(
        "--requirements", action="store_true", help="print what to install, for pip install -r"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Describe one archive."""
    said = describe(arguments.archive)
    if arguments.json:
        say(as_json(said))
    elif arguments.requirements:
        say("\n".join(map(clean, said["requirements"])))
    else:
        say("".join(_sections(said)).rstrip())
    return 0


def describe(path: Path) -> dict[str, Any]:
    """Return everything that is said of an archive; the keys are documented and stay.

    :raises Failed: if it cannot be read, or is no archive of ours.
    """
    archive = open_archive(path)
    with named(path):
        return said_of(archive)


def said_of(archive: Archive) -> dict[str, Any]:
    """Return the same of an archive that is open.

    :raises CorruptArchive: if one of its small files is damaged.
    """
    about, raw = archive.about, archive.about.raw
    return {
        "archive": archive.path.name,
        "size": archive.path.stat().st_size,
        "format": raw["format"],
        "digest": about.digest,
        "model": {**raw["model"], **archive.describe_file(about.model.file)},
        "transforms": {
            part: name and archive.describe_file(name) for part, name in about.transforms.items()
        },
        "handler": _handler(archive),
        "loading": describe_loading(archive),
        "metadata": archive.metadata,
        "modules": raw["modules"],
        "requirements": raw["requirements"],
        "packed_with": raw["packed_with"],
        "serving": archive.serving and asdict(archive.serving),
        "sample": raw["sample"],
        "batches": raw["batches"],
        "files": raw["files"],
    }


def _handler(archive: Archive) -> dict[str, Any]:
    own = archive.about.raw["handler"] or {"file": None, "class": None}
    return {"entry": archive.about.entry, **own}


# --- for people ---------------------------------------------------------------------------


def _sections(said: Mapping[str, Any]) -> Iterator[str]:
    model = said["model"]
    title = clean(f"{said['archive']}: {model['name']} {model['version']}")
    yield section(title, align_columns(_overview(said)))
    yield section(_title_of_loading(said["loading"]), map(clean, said["loading"]["reasons"]))
    yield from _tables_of_metadata(said["metadata"])
    yield section("Packed with", align_columns(said["packed_with"].items()))
    yield section("Requirements on the server", map(clean, said["requirements"]))
    yield section("Modules", align_columns(_modules(said["modules"])))
    yield section("Serving options", align_columns(_serving_rows(said["serving"])))
    yield section("Files", align_columns(_files(said["files"])))


def _overview(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    model, handler, sample = said["model"], said["handler"], said["sample"]
    yield "digest", said["digest"]
    yield "size", format_size(said["size"])
    yield "model", f"{model['form']}, {model['file']}, {format_size(model['size'])}"
    if model.get("keywords"):
        yield "inputs by name", ", ".join(model["keywords"])
    if model.get("training"):
        yield "in training mode", ", ".join(model["training"])
    for part in ("pre_processing", "post_processing"):
        file = said["transforms"][part]
        shown = f"{file['file']}, {format_size(file['size'])}" if file else "none"
        yield part.replace("_", "-"), shown
    own = f"{handler['class']} in {handler['file']}" if handler["file"] else handler["entry"]
    yield "handler", own
    nothing = "none, so nothing shows that it answers as what was packed"
    yield "sample", f"yes, tolerance {sample['tolerance']}" if sample else nothing
    batches = said["batches"]
    how = "share a forward pass" if batches["shared"] else "run one by one"
    tried = f" ({batches['tried']} forms tried, {batches['refused']} refused)"
    yield "batches", f"{how}: {batches['reason']}{tried if batches['tried'] else ''}"


def _title_of_loading(loading: Mapping[str, Any]) -> str:
    can = "can run code" if loading["can_run_code"] else "runs no code but the handler's"
    return f"Loading it {can}"


def _tables_of_metadata(metadata: Any) -> Iterator[str]:
    """Tables of inputs and outputs where they are declared by the convention; else the JSON."""
    said = dict(metadata) if isinstance(metadata, dict) else {"metadata": metadata}
    for key in ("inputs", "outputs"):
        if _is_declared(said.get(key)):
            rows = [(field["name"], field["type"], field["shape"]) for field in said.pop(key)]
            yield section(key.capitalize(), align_columns(rows))
    yield section(
        "Metadata", align_columns((key, as_json_line(value)) for key, value in said.items())
    )


def _is_declared(fields: Any) -> bool:
    return isinstance(fields, list) and all(
        isinstance(field, dict) and {"name", "type", "shape"} <= field.keys() for field in fields
    )


def as_json_line(value: Any) -> str:
    """Return a value as JSON in one line that is not too long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]} ... (--json tells all)"


def _modules(modules: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, ...]]:
    for name, said in modules.items():
        by = said.get("needed_by", "")
        where = said.get("file") or said.get("distribution") or ""
        yield name, said["decision"], where, f"for {by}" if by else ""


def _serving_rows(serving: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for name, value in (serving or {}).items():
        yield name, "the server's" if value is None else str(value)


def _files(files: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Rows of all files; the handler and dill, which are in every archive, are a row each."""
    for folder in (HANDLER_FOLDER, DILL_FOLDER):
        inside = [said for name, said in files.items() if name.startswith(folder)]
        if inside:
            yield folder, format_size(sum(said["size"] for said in inside)), f"{len(inside)} files"
    for name, said in files.items():
        if not name.startswith((HANDLER_FOLDER, DILL_FOLDER)):
            yield name, format_size(said["size"]), said["sha256"][:16]
