"""The arguments of ``predict`` and the way of one prediction: check, read, predict, write."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TypeVar

from eisen_deploy.client import EisenServingClient, Progress, files
from eisen_deploy.client._shared.command import program
from eisen_deploy.client._shared.command.progress import open_bars
from eisen_deploy.client._shared.command.terminal import say
from eisen_deploy.client._shared.model.metadata import Metadata
from eisen_deploy.client.cli.connection import add_arguments, make_client
from eisen_deploy.client.cli.error_messages import note
from eisen_deploy.client.cli.exit_statuses import UsageError
from eisen_deploy.client.files.formats import WITH_GEOMETRY, check_writable, find_format
from eisen_deploy.client.files.orientation import check_codes
from eisen_deploy.client.files.segments import find_declared_segments, override
from eisen_deploy.client.files.staging import check_free
from eisen_deploy.client.files.text_files import list_json_remarks, to_json

from . import inputs, outputs, provenance
from .inputs import Batch, NamedFile, naming_file
from .outputs import Target

T = TypeVar("T")

#: Seconds for a prediction, unless the user says otherwise.
TIMEOUT = 300.0

#: What ``predict`` does, and with which files.
DESCRIPTION = (
    "Run a model on files. An output image lies where the input lies: its affine, spacing and "
    "orientation are those of the input."
)
KINDS_OF_FILES = """\
files: .nii .nii.gz, a folder with a DICOM series or a .dcm file (an output .dcm is a DICOM
  segmentation), .png, .npy, .npz, .json, .txt
"""

_EPILOG = f"""\
{KINDS_OF_FILES}
examples:
  eisen-client predict URL --input image=ct.nii.gz --output mask=mask.nii.gz
  eisen-client predict URL --input image=series/ --output mask=seg.dcm --segment 1=Liver
  eisen-client predict URL --input image=x.png --value age=61 --json
"""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "predict",
        help="run a model on files",
        description=DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_file_arguments(parser)
    parser.add_argument("--idempotent", action="store_true", help="send again if a reply is lost")
    add_arguments(parser, timeout=TIMEOUT)
    return parser


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what goes in, what comes out, and where to."""
    add = parser.add_argument
    for flag, form, parse, meaning in _REPEATED:
        add(flag, metavar=form, type=_wrap_parser(parse), action="append", default=[], help=meaning)
    add("--json", action="store_true", help="print the outputs that go to no file, as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")
    add(
        "--provenance",
        action="store_true",
        help="write FILE.provenance.json beside each output: which model made it, of what",
    )
    add("--like", metavar="NAME", help="the input whose geometry the outputs get")
    add(
        "--orientation",
        metavar="RAS",
        type=_wrap_parser(check_codes),
        help="turn images so that their axes run this way, and the outputs back",
    )
    add("--monochrome1", choices=["keep", "invert"], help="images in which small values are bright")


def run(arguments: argparse.Namespace) -> int:
    """Run the model that a server has."""
    idempotent: bool = arguments.idempotent
    open_client = partial(make_client, arguments, validate_inputs=True)
    return predict_files(arguments, open_client, idempotent=idempotent)


def predict_files(
    arguments: argparse.Namespace,
    open_client: Callable[[], AbstractContextManager[EisenServingClient]],
    *,
    idempotent: bool = False,
) -> int:
    """Read, predict, write. Whatever can be refused is refused before anything is sent.

    :param arguments: those of :func:`add_file_arguments`, ``url`` (``None`` without a server) and
        ``debug``.
    :param open_client: is called once the arguments are checked; its client validates inputs.
    :returns: the exit status.
    """
    _check(arguments)
    wanted: list[NamedFile] = arguments.output
    with open_client() as client:
        raw = client.get_metadata()
        metadata = Metadata.parse(raw)
        inputs.check_names(arguments.input, arguments.value, metadata)
        names = _choose_outputs(wanted, metadata, everything=arguments.json)
        batch = inputs.read_batch(
            arguments.input, arguments.value, metadata, arguments.orientation, arguments.monochrome1
        )
        targets = [_plan_target(file, batch, raw, arguments) for file in wanted]
        segmented = any(find_format(file.path) == ".dcm" for file in wanted)
        if arguments.segment and not segmented:
            note("--segment is not used: it describes DICOM segmentations, and no output is one")
        for remark in dict.fromkeys(batch.remarks):
            note(remark)
        with _show_progress() as progress:
            reply = client.predict(
                batch.values, outputs=names, idempotent=idempotent, progress=progress
            )
    if arguments.provenance or segmented:
        outputs.note_unnamed_model(reply)
    status = outputs.save_all(targets, reply, batch.values, arguments)
    if arguments.json:
        printed = outputs.select_printed(reply, {file.name for file in wanted})
        say(to_json(printed, for_terminal=True))
        for remark in list_json_remarks(printed):
            note(remark)
    return status


def _check(arguments: argparse.Namespace) -> None:
    """Check what can be checked without the server."""
    wanted: list[NamedFile] = arguments.output
    if not wanted and not arguments.json:
        raise UsageError("say where the outputs go: --output NAME=FILE, or --json")
    if not arguments.input and not arguments.value:
        raise UsageError("give the inputs of the model: --input NAME=FILE, or --value NAME=JSON")
    if arguments.provenance and not wanted:
        raise UsageError("--provenance describes files: give --output")
    beside = [provenance.sidecar_path(file.path) for file in wanted if arguments.provenance]
    paths = [*(file.path for file in wanted), *beside]
    places = {os.path.realpath(path) for path in paths}
    if len(places) < len(paths):
        raise UsageError("two outputs go to the same file")
    if places.intersection(os.path.realpath(file.path) for file in arguments.input):
        raise UsageError("an output would replace an input: give it another name")
    numbers = [segment.number for segment in arguments.segment]
    if len(set(numbers)) < len(numbers):
        raise UsageError("--segment describes the same number twice")
    for file in wanted:
        with naming_file(file):
            check_writable(file.path)
            check_free(file.path, arguments.overwrite)
    for path in beside:
        with naming_file(NamedFile(None, path)):
            check_free(path, arguments.overwrite)


@contextmanager
def _show_progress() -> Iterator[Callable[[Progress], None] | None]:
    """Give what shows the steps of a call as bars, and ``None`` where nobody would see them."""
    with open_bars() as bars:
        yield None if bars is None else lambda progress: bars(*name_step(progress))


def name_step(progress: Progress) -> tuple[str, int, int | None]:
    """Return the step of a call, and how many of how many bytes are done."""
    if progress.received:
        return "receive", progress.received, progress.to_receive
    if progress.sent < progress.to_send:
        return "send", progress.sent, progress.to_send
    return "wait for the model", 0, 0


def _choose_outputs(
    outputs: Iterable[NamedFile], metadata: Metadata, *, everything: bool
) -> list[str] | None:
    """Return the outputs to ask for; ``None`` for all of them."""
    names = [file.name for file in outputs if file.name is not None]
    known = [each.name for each in metadata.outputs or ()]
    strays = [name for name in names if known and name not in known]
    if strays:
        raise UsageError(
            f"the model has no output {', '.join(strays)}: it gives {', '.join(known)}"
        )
    if everything or any(file.name is None for file in outputs):
        return None
    return list(dict.fromkeys(names))


def _plan_target(
    file: NamedFile, batch: Batch, metadata: Mapping[str, object], arguments: argparse.Namespace
) -> Target:
    layout = _find_layout(file, batch, arguments.like)
    if find_format(file.path) != ".dcm":
        return Target(file, layout)
    declared, remarks = find_declared_segments(metadata, file.name or "")
    batch.remarks.extend(remarks)
    return Target(file, layout, override(declared, arguments.segment))


def _find_layout(file: NamedFile, batch: Batch, like: str | None) -> files.Layout | None:
    """Return the layout of the input whose geometry an output gets, if its kind of file has one."""
    if like is not None and like not in batch.values:
        raise UsageError(f"--like {like}: there is no such input")
    kind = find_format(file.path)
    if kind in WITH_GEOMETRY:
        with naming_file(file):
            layout = inputs.find_grid(batch.layouts, like, wants_slices=kind == ".dcm")
            remarks = files.check_grid(file.path, layout.grid)
        batch.remarks.extend(f"{file}: {remark}" for remark in remarks)
        return layout
    return batch.layouts.get(like) if like else next(iter(batch.layouts.values()), None)


def _parse_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError("expected NAME=JSON")
    return name, value


_REPEATED: tuple[tuple[str, str, Callable[[str], object], str], ...] = (
    ("--input", "NAME=FILE", NamedFile.parse, "an input; FILE.npz alone: all that it holds"),
    ("--value", "NAME=JSON", _parse_value, "an input that is not a file"),
    ("--output", "NAME=FILE", NamedFile.parse, "an output; FILE.npz alone: all outputs"),
    ("--segment", "N=NAME[,CODE]", files.Segment.parse, "what label N of a DICOM output is"),
)


def _wrap_parser(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show the message of a parser's error, and not the text: it may hold a value."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
