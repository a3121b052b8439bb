"""``eisen-client predict``: files to the model, and its outputs to files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from eisen_deploy.client import files
from eisen_deploy.client._shared.metadata import Metadata
from eisen_deploy.client._shared.terminal import clean, say
from eisen_deploy.client.files.axes import picture_of
from eisen_deploy.client.files.kinds import PLACED, check_writable, kind_of
from eisen_deploy.client.files.orientation import check_codes
from eisen_deploy.client.files.saving import check_free, staged
from eisen_deploy.client.files.text import to_json

from . import batch as batches
from . import connection
from .batch import Batch, NamedFile, blamed_on
from .exits import Usage
from .progress import bars
from .words import note

T = TypeVar("T")

_SECONDS = 300.0
_MAX_PRINTED = 100_000
_EPILOG = """\
files: .nii .nii.gz, a folder with a DICOM series or a .dcm file (an output .dcm is a DICOM
  segmentation), .png, .npy, .npz, .json, .txt

examples:
  eisen-client predict URL --input image=ct.nii.gz --output mask=mask.nii.gz
  eisen-client predict URL --input image=series/ --output mask=seg.dcm --segment 1=Liver
  eisen-client predict URL --input image=x.png --value age=61 --json
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "predict",
        help="run a model on files",
        description="Run a model on files. What it gives lies where the input lies: affine, "
        "spacing and orientation are those of the input.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    for flag, form, parse, meaning in _REPEATED:
        add(flag, metavar=form, type=_parsed(parse), action="append", default=[], help=meaning)
    add("--json", action="store_true", help="print the outputs that go to no file, as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--like", metavar="NAME", help="the input whose geometry the outputs get")
    add(
        "--orientation",
        metavar="RAS",
        type=_parsed(check_codes),
        help="turn images so that their axes run this way, and the outputs back",
    )
    add("--monochrome1", choices=["keep", "invert"], help="images in which small values are bright")
    add("--idempotent", action="store_true", help="send again if a reply is lost")
    connection.add_arguments(parser, _SECONDS)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Read, predict, write. Whatever can be refused is refused before anything is sent."""
    _check(arguments)
    outputs: list[NamedFile] = arguments.output
    with connection.client_of(arguments, validate_inputs=True) as client:
        metadata = Metadata.parse(client.get_metadata())
        batches.check_names(arguments.input, arguments.value, metadata)
        names = _wanted(outputs, metadata, everything=arguments.json)
        batch = batches.read(
            arguments.input, arguments.value, metadata, arguments.orientation, arguments.monochrome1
        )
        layouts = {file: _layout(file, batch, arguments.like) for file in outputs}
        for remark in batch.remarks:
            note(remark)
        with bars() as progress:
            reply = client.predict(
                batch.values, outputs=names, idempotent=arguments.idempotent, progress=progress
            )
    _save(reply, layouts, arguments)
    if arguments.json:
        say(to_json(_printed(reply, {file.name for file in outputs}), for_terminal=True))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Check what can be checked without the server."""
    outputs: list[NamedFile] = arguments.output
    if not outputs and not arguments.json:
        raise Usage("say where the outputs go: --output NAME=FILE, or --json")
    if not arguments.input and not arguments.value:
        raise Usage("give the inputs of the model: --input NAME=FILE, or --value NAME=JSON")
    if len({file.path for file in outputs}) < len(outputs):
        raise Usage("two outputs go to the same file")
    for file in outputs:
        with blamed_on(file):
            check_writable(file.path)
            check_free(file.path, arguments.overwrite)


def _wanted(
    outputs: Iterable[NamedFile], metadata: Metadata, *, everything: bool
) -> list[str] | None:
    """Return the outputs to ask for; ``None`` for all of them."""
    names = [file.name for file in outputs if file.name is not None]
    known = [each.name for each in metadata.outputs or ()]
    strays = [name for name in names if known and name not in known]
    if strays:
        raise Usage(f"the model has no output {', '.join(strays)}: it gives {', '.join(known)}")
    if everything or any(file.name is None for file in outputs):
        return None
    return list(dict.fromkeys(names))


def _layout(file: NamedFile, batch: Batch, like: str | None) -> files.Layout | None:
    """Return the layout of the input whose geometry an output gets, if its kind of file has one."""
    if like is not None and like not in batch.values:
        raise Usage(f"--like {like}: there is no such input")
    kind = kind_of(file.path)
    if kind in PLACED:
        with blamed_on(file):
            layout = batches.grid_of(batch.layouts, like, wants_slices=kind == ".dcm")
            remarks = files.check_grid(file.path, layout.grid)
        batch.remarks.extend(f"{file}: {remark}" for remark in remarks)
        return layout
    return batch.layouts.get(like) if like else next(iter(batch.layouts.values()), None)


def _save(
    reply: Mapping[str, Any],
    layouts: Mapping[NamedFile, files.Layout | None],
    arguments: argparse.Namespace,
) -> None:
    """Write all outputs, or none."""
    lines = []
    with staged([file.path for file in layouts], arguments.overwrite) as temporaries:
        for file, layout in layouts.items():
            with blamed_on(file):
                content = _content(file, reply, layout)
                files.save(
                    temporaries[file.path],
                    content,
                    segments=arguments.segment,
                    description=file.name or "",
                    algorithm=_algorithm(arguments.url),
                )
            lines.append(f"{clean(str(file.path))}: {_described(content.value)}")
    if not arguments.json:
        for line in lines:
            say(line)


def _content(
    file: NamedFile, reply: Mapping[str, Any], layout: files.Layout | None
) -> files.Content:
    if file.name is None:
        return files.Content(dict(reply))
    value = reply[file.name]
    kind = kind_of(file.path)
    if kind not in (*PLACED, ".png"):
        return files.Content({file.name: value} if kind == ".npz" else value)
    if not isinstance(value, np.ndarray):
        raise files.UnwritableFile(f"{type(value).__name__} is no image: use .json")
    if kind == ".png":
        return picture_of(value, layout)
    assert layout is not None  # noqa: S101 - _layout has found one, or raised
    return files.from_model(value, layout)


def _printed(reply: Mapping[str, Any], saved: set[str | None]) -> dict[str, Any]:
    rest = {} if None in saved else {name: reply[name] for name in reply if name not in saved}
    for name, value in rest.items():
        if isinstance(value, np.ndarray) and value.size > _MAX_PRINTED:
            raise files.UnwritableFile(
                f"the output {name} has {value.size} numbers, too many to print: "
                f"--output {name}=FILE"
            )
    return rest


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return clean(", ".join(value))
    if isinstance(value, np.ndarray):
        return f"{value.dtype}, {' x '.join(map(str, value.shape))}"
    return type(value).__name__


def _algorithm(url: str) -> tuple[str, str]:
    """Return name and version of the model, as its address tells them."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    for start in ("predictions", "models"):
        if start in parts[:-1]:
            name, *rest = parts[parts.index(start) + 1 :]
            return name, rest[0] if rest and rest[0] != "infer" else ""
    return "", ""


def _value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError("expected NAME=JSON")
    return name, value


_REPEATED: tuple[tuple[str, str, Callable[[str], Any], str], ...] = (
    ("--input", "NAME=FILE", NamedFile.parse, "an input; FILE.npz alone: all that it holds"),
    ("--value", "NAME=JSON", _value, "an input that is no file"),
    ("--output", "NAME=FILE", NamedFile.parse, "an output; FILE.npz alone: all outputs"),
    ("--segment", "N=NAME[,CODE]", files.Segment.parse, "what label N of a DICOM output is"),
)


def _parsed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse tell what a parser's error says, and not the text: it may hold a value."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed
