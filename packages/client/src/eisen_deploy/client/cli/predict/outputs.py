"""The outputs of one prediction: each to its file, and the rest to the standard output.

If one cannot be written, the others still are: the model may have run for minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from eisen_deploy.client import Prediction, files
from eisen_deploy.client._shared.command.terminal import say
from eisen_deploy.client._shared.printable import clean
from eisen_deploy.client.cli.error_messages import explain_error, note, report_error
from eisen_deploy.client.files.axes import to_picture
from eisen_deploy.client.files.formats import IMAGES, find_format
from eisen_deploy.client.files.staging import stage

from . import provenance
from .inputs import NamedFile, naming_file

_MAX_PRINTED = 100_000


class Target(NamedTuple):
    """A file that is to be written, and what is known of it before the model runs.

    :param layout: of the input whose geometry it gets.
    :param segments: what its labels mean, if it is a DICOM segmentation.
    """

    file: NamedFile
    layout: files.Layout | None
    segments: tuple[files.Segment, ...] = ()


def save_all(
    targets: Iterable[Target],
    reply: Prediction,
    batch: Mapping[str, object],
    arguments: argparse.Namespace,
) -> int:
    """Write each output that can be written, and report those that cannot.

    :param batch: inputs by name.
    :returns: the exit status of the first error; 0 if there is none.
    """
    run = provenance.describe_run(arguments.url, batch, reply) if arguments.provenance else None
    statuses = []
    for target in targets:
        try:
            with naming_file(target.file):
                content = _save(target, reply, run, overwrite=arguments.overwrite)
        except Exception as error:  # noqa: BLE001 - the others can still be written
            statuses.append(report_error(error, arguments.debug))
            continue
        if not arguments.json:
            say(f"{clean(str(target.file.path))}: {_describe(content.value)}")
    return statuses[0] if statuses else 0


def note_unnamed_model(reply: Prediction) -> None:
    """Note that files cannot name the model, if the reply does not."""
    lacking = [what for what in ("name", "version") if getattr(reply.model, what) is None]
    if lacking:
        note(f"the model's {' and '.join(lacking)} stay unknown: the server's reply lacks them")


def select_printed(reply: Prediction, saved: set[str | None]) -> dict[str, object]:
    """Return the outputs that go to no file, which are printed."""
    rest = {} if None in saved else {name: reply[name] for name in reply if name not in saved}
    for name, value in rest.items():
        if isinstance(value, np.ndarray) and value.size > _MAX_PRINTED:
            raise files.UnwritableFile(
                f"the output {name} has {value.size} numbers, too many to print: "
                f"--output {name}=FILE"
            )
    return rest


def _save(
    target: Target, reply: Prediction, run: Mapping[str, object] | None, *, overwrite: bool
) -> files.Content:
    """Write one output, and its provenance: both or neither."""
    file, layout, segments = target
    content = _make_content(file, reply, layout)
    sidecar = provenance.sidecar_path(file.path)
    paths = [file.path] if run is None else [file.path, sidecar]
    try:
        with stage(paths, overwrite) as temporaries:
            written = temporaries[file.path]
            remarks = files.save(
                written,
                content,
                segments=segments,
                description=file.name or "",
                algorithm=reply.model,
            )
            if run is not None:
                held = reply if file.name is None else {file.name: reply[file.name]}
                provenance.write_sidecar(temporaries[sidecar], run, held, written)
    except (MemoryError, OSError) as error:
        raise files.UnwritableFile(explain_error(error)) from error
    for remark in remarks:
        note(f"{file}: {remark}")
    if run is None and sidecar.exists():
        note(f"{sidecar} describes a file that is replaced now: --provenance writes it anew")
    return content


def _make_content(file: NamedFile, reply: Prediction, layout: files.Layout | None) -> files.Content:
    if file.name is None:
        return files.Content(dict(reply))
    if file.name not in reply:
        raise files.UnwritableFile(f"the model gave no such output: {', '.join(reply)}")
    value = reply[file.name]
    kind = find_format(file.path)
    if kind not in IMAGES or not isinstance(value, np.ndarray):
        return files.Content({file.name: value} if kind == ".npz" else value)
    if kind == ".png":
        return to_picture(value, layout)
    assert layout is not None  # noqa: S101 - it was found, or nothing was sent
    return files.from_model(value, layout)


def _describe(value: object) -> str:
    if isinstance(value, dict):
        return clean(", ".join(value))
    if isinstance(value, np.ndarray):
        return ", ".join(filter(None, [str(value.dtype), " x ".join(map(str, value.shape))]))
    return type(value).__name__
