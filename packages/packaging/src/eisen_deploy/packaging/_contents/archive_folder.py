"""The files of an archive, from checked arguments to a folder with its ``eisen.json``."""

from __future__ import annotations

from pathlib import Path

from eisen_deploy.packaging._arguments import model_forms, serving_argument
from eisen_deploy.packaging._arguments.additional_files import copy_extras
from eisen_deploy.packaging._arguments.handlers import Handler
from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._pickles import pickling
from eisen_deploy.packaging._proof import samples
from eisen_deploy.packaging._shared.archive import contents
from eisen_deploy.packaging._shared.archive.batches import Batches

from . import captured_code, vendored
from .captured_code import Pickled
from .description import about
from .manifest import write_manifest


def write(payload: Payload, folder: Path) -> None:
    """Write the files of an archive into a folder, ``eisen.json`` last.

    :raises EisenPackagingError: if something cannot be written, or no server could load it.
    """
    transforms, pickled = _write_pickles(payload, folder)
    (folder / "metadata.json").write_bytes(payload.meta_data)
    _write_handler(payload.handler, folder)
    copy_extras(payload.extras, folder)
    code = captured_code.write(
        pickled,
        folder,
        handler=payload.handler,
        extras=payload.extras,
        code_paths=payload.code,
        stated=payload.requirements,
    )
    options = serving_argument.write(payload.serving, payload.form, folder)
    sample, batches = None, Batches()
    if payload.sample is not None:
        sample, batches = samples.record(payload, payload.sample, folder, payload.tolerance)
    write_manifest(
        folder,
        payload.name,
        payload.version,
        payload.form.file,
        payload.handler.entry,
        config_file=options,
    )
    serving_argument.check_batches(payload.serving, batches)
    said = about(payload, transforms, code, sample, options, batches)
    contents.write(folder, said)
    contents.verify(folder)


def _write_pickles(payload: Payload, folder: Path) -> tuple[dict[str, str | None], list[Pickled]]:
    """Write model and transforms; return the file of each transform, and all that were pickled.

    They are read in the same order: a later one refers to what an earlier one holds.
    """
    parts = {"model": payload.model} if payload.form.is_pickle else {}
    parts |= {part: each for part, each in payload.transforms.items() if each is not None}
    graph = pickling.measure(parts)
    by_value = model_forms.write(payload.model, payload.form, folder, graph)
    path = folder / payload.form.file
    pickled = [Pickled("model", path, by_value)] if payload.form.is_pickle else []
    names: dict[str, str | None] = {}
    for part, transform in payload.transforms.items():
        names[part] = None
        if transform is not None:
            names[part] = name = part.replace("processing", "process_tform.pkl")
            by_value = pickling.write(transform, folder / name, part, graph)
            pickled.append(Pickled(part, folder / name, by_value))
    return names, pickled


def _write_handler(handler: Handler, folder: Path) -> None:
    vendored.copy_handler(folder)
    vendored.copy_dill(folder)
    if handler.file is not None:
        (folder / handler.file[0]).write_bytes(handler.file[1])
