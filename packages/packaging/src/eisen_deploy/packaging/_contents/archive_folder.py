"""The files of an archive, from parsed arguments to a folder with its ``eisen.json``."""

from __future__ import annotations

from pathlib import Path

from eisen_deploy.packaging._arguments.additional_files import copy_extras
from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._pickles import pickle_files
from eisen_deploy.packaging._pickles.object_graph import Graph
from eisen_deploy.packaging._shared.archive import unpacked_folder
from eisen_deploy.packaging._shared.archive.batches import Batches

from . import captured_code, vendored
from .captured_code import Pickled
from .description import describe
from .manifest import write_manifest
from .model_file import write_model
from .serving_file import check_batches, write_options


def measure(payload: Payload) -> Graph:
    """Pickle model and transforms without writing anything, to see what they share.

    They are read in this order: a later one refers to what an earlier one holds.

    :raises NotSerializable: if one of them cannot be pickled.
    """
    parts: dict[str, object] = (
        {"model": payload.model.packed} if payload.model.form.is_pickle else {}
    )
    parts |= {part: each for part, each in payload.transforms.items() if each is not None}
    return pickle_files.measure_tensors(parts)


def write(payload: Payload, graph: Graph, folder: Path) -> None:
    """Write the files of an archive into a folder, ``eisen.json`` last.

    :param graph: what :func:`measure` has seen.
    :raises EisenPackagingError: if something cannot be written, or no server could load it.
    """
    (folder / "metadata.json").write_bytes(payload.metadata_text)
    vendored.copy_handler(folder)
    vendored.copy_dill(folder)
    if payload.handler.file is not None:
        name, content = payload.handler.file
        (folder / name).write_bytes(content)
    copy_extras(payload.extras, folder)
    transforms, pickled = _write_pickles(payload, graph, folder)
    code = captured_code.write(payload, pickled, folder)
    options = None if payload.serving is None else write_options(payload.serving, folder)
    sample, batches = None, Batches()
    if payload.sample is not None:
        from eisen_deploy.packaging._proof import samples  # noqa: PLC0415 - brings the handler

        sample, batches = samples.record(payload, payload.sample, folder)
    write_manifest(payload, options, folder)
    if payload.serving is not None:
        check_batches(payload.serving, batches)
    unpacked_folder.write(folder, describe(payload, transforms, code, sample, options, batches))
    unpacked_folder.verify(folder)


def _write_pickles(
    payload: Payload, graph: Graph, folder: Path
) -> tuple[dict[str, str | None], list[Pickled]]:
    """Write model and transforms; return the file of each transform, and all that were pickled."""
    by_value = write_model(payload.model, folder, graph)
    form = payload.model.form
    pickled = [Pickled("model", folder / form.file, by_value)] if form.is_pickle else []
    names: dict[str, str | None] = {}
    for part, transform in payload.transforms.items():
        names[part] = None
        if transform is not None:
            names[part] = name = part.replace("processing", "process_tform.pkl")
            by_value = pickle_files.write_pickle(transform, folder / name, part, graph)
            pickled.append(Pickled(part, folder / name, by_value))
    return names, pickled
