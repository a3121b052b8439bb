"""The files of an archive, from checked arguments to a folder with its ``eisen.json``."""

from __future__ import annotations

from pathlib import Path

from . import _code, _model, _pickling, _sample, _serving, _vendored
from ._about import about
from ._code import Pickled
from ._extras import copy_extras
from ._handler import Handler
from ._manifest import write_manifest
from ._payload import Payload
from ._shared import contents
from ._shared.batches import Batches


def write(payload: Payload, folder: Path) -> None:
    """Write the files of an archive into a folder, ``eisen.json`` last.

    :raises EisenPackagingError: if something cannot be written, or no server could load it.
    """
    transforms, pickled = _write_pickles(payload, folder)
    (folder / "metadata.json").write_bytes(payload.meta_data)
    _write_handler(payload.handler, folder)
    copy_extras(payload.extras, folder)
    code = _code.write(
        pickled,
        folder,
        handler=payload.handler,
        extras=payload.extras,
        code_paths=payload.code,
        stated=payload.requirements,
    )
    options = _serving.write(payload.serving, payload.form, folder)
    sample, batches = None, Batches()
    if payload.sample is not None:
        sample, batches = _sample.record(payload, payload.sample, folder, payload.tolerance)
    write_manifest(
        folder,
        payload.name,
        payload.version,
        payload.form.file,
        payload.handler.entry,
        config_file=options,
    )
    _serving.check_batches(payload.serving, batches)
    said = about(payload, transforms, code, sample, options, batches)
    contents.write(folder, said)
    contents.verify(folder)


def _write_pickles(payload: Payload, folder: Path) -> tuple[dict[str, str | None], list[Pickled]]:
    """Write model and transforms; return the file of each transform, and all that were pickled.

    They are read in the same order: a later one refers to what an earlier one holds.
    """
    parts = {"model": payload.model} if payload.form.is_pickle else {}
    parts |= {part: each for part, each in payload.transforms.items() if each is not None}
    graph = _pickling.measure(parts)
    by_value = _model.write(payload.model, payload.form, folder, graph)
    path = folder / payload.form.file
    pickled = [Pickled("model", path, by_value)] if payload.form.is_pickle else []
    names: dict[str, str | None] = {}
    for part, transform in payload.transforms.items():
        names[part] = None
        if transform is not None:
            names[part] = name = part.replace("processing", "process_tform.pkl")
            by_value = _pickling.write(transform, folder / name, part, graph)
            pickled.append(Pickled(part, folder / name, by_value))
    return names, pickled


def _write_handler(handler: Handler, folder: Path) -> None:
    _vendored.copy_handler(folder)
    _vendored.copy_dill(folder)
    if handler.file is not None:
        (folder / handler.file[0]).write_bytes(handler.file[1])
