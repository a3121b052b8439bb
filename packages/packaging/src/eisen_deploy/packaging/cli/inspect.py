"""``eisen-pack inspect``: what is inside of an archive."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from eisen_deploy.packaging._shared.archive.description import ListedFile
from eisen_deploy.packaging._shared.archive.reader import Archive
from eisen_deploy.packaging._shared.command import program
from eisen_deploy.packaging._shared.command.terminal import align_columns, format_size, say
from eisen_deploy.packaging._shared.printable import clean

from .archive import describe, open_archive
from .errors import name_archive
from .output import format_json, format_json_line, format_section
from .trust import DILL_FOLDER, HANDLER_FOLDER, describe_loading

# TorchServe applies its defaults to a model-config.yaml, and not those of its configuration.
_LEFT_OUT = dict.fromkeys(
    ("response_timeout", "startup_timeout"), "120 s on TorchServe; on other engines the server's"
)

_EXAMPLE = """\
examples:
  eisen-pack inspect model_zoo/seg.mar
  eisen-pack inspect --json model_zoo/seg.mar | jq .model
  eisen-pack inspect --requirements model_zoo/seg.mar > requirements.txt
"""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "inspect",
        help="show what is inside of an archive",
        description="Show what is inside of an archive, and whether loading it can run code. Reads "
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
    archive = open_archive(arguments.archive)
    if arguments.json:
        say(format_json(describe(archive)))
    elif arguments.requirements:
        say("\n".join(map(clean, archive.about.requirements)))
    else:
        with name_archive(archive.path):
            say("".join(_format_sections(archive)).rstrip())
    return 0


def _format_sections(archive: Archive) -> Iterator[str]:
    about, loading = archive.about, describe_loading(archive)
    title = clean(f"{archive.path.name}: {about.model.name} {about.model.version}")
    can = "can run code" if loading.can_run_code else "runs no code but the handler's"
    serving = asdict(archive.serving) if archive.serving else {}
    options = [
        (name, _LEFT_OUT.get(name, "the server's") if each is None else each)
        for name, each in serving.items()
    ]
    yield format_section(title, align_columns(_list_facts(archive)))
    yield format_section(f"Loading it {can}", map(clean, loading.reasons))
    yield from _format_metadata(archive.metadata)
    yield format_section("Packed with", align_columns(about.packed_with.items()))
    yield format_section("Requirements on the server", map(clean, about.requirements))
    yield format_section("Modules", align_columns(_list_modules(about.modules)))
    yield format_section("Serving options", align_columns(options))
    yield format_section("Files", align_columns(_list_files(about.files)))


def _list_facts(archive: Archive) -> Iterator[tuple[str, str]]:
    about = archive.about
    model, handler, sample, batches = about.model, about.handler, about.sample, about.batches
    yield "digest", about.digest
    yield "size", format_size(archive.path.stat().st_size)
    yield "model", f"{model.form}, {model.file}, {format_size(about.files[model.file].size)}"
    if model.keywords:
        yield "inputs by name", ", ".join(model.keywords)
    if model.training:
        yield "in training mode", ", ".join(model.training)
    for part in ("pre_processing", "post_processing"):
        file = about.transforms[part]
        yield (
            part.replace("_", "-"),
            f"{file}, {format_size(about.files[file].size)}" if file else "none",
        )
    yield "handler", f"{handler.class_name} in {handler.file}" if handler else about.entry
    nothing = "none, so nothing shows that it answers as what was packed"
    yield "sample", f"yes, tolerance {sample.tolerance}" if sample else nothing
    how = "share a forward pass" if batches.shared else "run one by one"
    tried = f" ({batches.tried} forms tried, {batches.refused} refused)"
    yield "batches", f"{how}: {batches.reason}{tried if batches.tried else ''}"


def _format_metadata(metadata: dict[str, object]) -> Iterator[str]:
    """Yield tables of inputs and outputs where they are declared by the convention; else JSON."""
    rest = dict(metadata)
    for key in ("inputs", "outputs"):
        fields = metadata.get(key)
        if isinstance(fields, list) and all(map(_is_field, fields)):
            rows = [(field["name"], field["type"], field["shape"]) for field in fields]
            yield format_section(key.capitalize(), align_columns(rows))
            del rest[key]
    others = [(key, format_json_line(value)) for key, value in rest.items()]
    yield format_section("Metadata", align_columns(others))


def _is_field(field: object) -> bool:
    return isinstance(field, dict) and {"name", "type", "shape"} <= field.keys()


def _list_modules(modules: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, ...]]:
    for name, about in modules.items():
        by = about.get("needed_by", "")
        where = about.get("file") or about.get("distribution") or ""
        yield name, about["decision"], where, f"for {by}" if by else ""


def _list_files(files: Mapping[str, ListedFile]) -> Iterator[tuple[str, ...]]:
    """Yield rows of all files; the handler and dill, which are in every archive, are a row each."""
    for folder in (HANDLER_FOLDER, DILL_FOLDER):
        inside = [file.size for name, file in files.items() if name.startswith(folder)]
        if inside:
            yield folder, format_size(sum(inside)), f"{len(inside)} files"
    for name, file in files.items():
        if not name.startswith((HANDLER_FOLDER, DILL_FOLDER)):
            yield name, format_size(file.size), file.sha256[:16]
