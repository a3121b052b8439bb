"""``EisenServingMAR``: the line from a model, its transforms and its metadata to an archive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _destination, _proof
from ._arguments import plain_json
from ._arguments.additional_files import find_extras
from ._arguments.handler_argument import find_handler
from ._arguments.item_transforms import check_item_transforms
from ._arguments.mistakes import Mistakes
from ._arguments.model_argument import find_form, parse_model
from ._arguments.payload import Payload, Transform
from ._arguments.sample_argument import parse_sample, parse_tolerance
from ._arguments.serving_argument import parse_serving
from ._arguments.target import find_target
from ._capture.requirements import read_requirements
from ._contents import archive_folder, vendored
from ._errors import ArchiveNotWritten, InvalidArgument, InvalidMetadata
from ._progress import Progress, Steps
from ._remarks import remark
from ._shared.archive import zips
from ._shared.errors import CorruptArchive
from ._shared.model.metadata import Metadata

if TYPE_CHECKING:
    import torch


_WITHOUT_SAMPLE = (
    "packed without a sample: nothing shows that the archive answers as the model and the "
    "transforms do here; sample= is one request's inputs, and proves it"
)


class EisenServingMAR:
    """Packs models into archives (MAR) that TorchServe serves.

    ::

        packer = EisenServingMAR(pre_processing, post_processing, metadata)
        packer.pack(model, "model_zoo")

    makes ``model_zoo/model.mar``, which needs nothing on the server but TorchServe, torch, numpy
    and what the model and the transforms import themselves::

        torchserve --start --ncs --model-store model_zoo --models model.mar

    The request handler, the transforms and the metadata travel in the archive. With a handler of
    your own that derives from ``eisen_deploy.serving.EisenServingHandler`` all of that stays
    in use; with another one, or with one of TorchServe's, transforms and metadata are packed as
    well, and it is up to that handler to use them.

    :param pre_processing: a callable from a collated batch (dict by name; axis 0 of each array is
        the batch) to such a dict, or ``None`` for identity. It is pickled with dill. A dictionary
        transform of MONAI, or a ``Compose`` of such, gets the items of the batch one by one, and
        so does one as ``post_processing``.
    :param post_processing: a callable from the dict of model inputs and outputs to the dict that
        is answered, or ``None`` for identity. It is pickled with dill.
    :param meta_data: any JSON-serialisable dict; :func:`create_metadata` makes one by the
        convention that handler and client understand. What it does not declare is not checked.
    :param handler: ``None`` for ours, the path of a Python file with a handler, or the name of a
        handler that TorchServe ships, such as ``"image_classifier"`` (they load TorchScript only).
    :raises InvalidArgument: if a transform cannot be called, or several of these errors apply.
    :raises InvalidMetadata: with every part of the metadata that is not JSON.
    :raises InvalidHandler: if the handler is something else.
    """

    def __init__(
        self,
        pre_processing: Transform | None,
        post_processing: Transform | None,
        meta_data: dict[str, Any],
        handler: str | os.PathLike[str] | None = None,
    ) -> None:
        self._transforms = {"pre_processing": pre_processing, "post_processing": post_processing}
        self._handler_argument = handler
        mistakes = Mistakes()
        with mistakes:
            _check_transforms(self._transforms)
        with mistakes:
            self._metadata_text = _encode_metadata(meta_data)
        with mistakes:
            self._handler = find_handler(handler)
        mistakes.raise_all()
        self._metadata = Metadata.parse(meta_data)
        check_item_transforms(self._transforms, self._metadata)

    def pack(  # noqa: PLR0913 - five are documented, the others are by keyword only
        self,
        model: torch.nn.Module | torch.export.ExportedProgram,
        dst_path: str | os.PathLike[str],
        model_name: str = "model",
        model_version: str = "1.0",
        additional_files: Iterable[str | os.PathLike[str]] | None = None,
        *,
        overwrite: bool = False,
        sample: Mapping[str, object] | None = None,
        tolerance: float = 1e-3,
        code_paths: Iterable[str | os.PathLike[str]] | None = None,
        requirements: Iterable[str] | None = None,
        serving: Mapping[str, object] | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Pack a model into ``<dst_path>/<model_name>.mar``.

        The archive appears there whole, or not at all; the same inputs give the same bytes. The
        model is not changed. All arguments are checked before anything is made, read or written
        for the archive, and all their mistakes are raised together: as the error listed here
        where they are of one kind, and as an :class:`InvalidArgument` where they are of several.

        :param model: a :class:`torch.nn.Module` (packed with dill: lambdas and classes of a script
            may be part of it), a :class:`torch.jit.ScriptModule` or a
            :class:`torch.export.ExportedProgram`.
        :param dst_path: the folder to put the archive into; it is made if it is missing.
        :param model_name: the model's name, also in the address ``/predictions/<model_name>``:
            1 to 127 letters, digits, dots, underscores and hyphens.
        :param model_version: the model's version, of the same characters.
        :param additional_files: further files and folders; each goes to the archive's top level
            under its own name, a folder with what is in it.
        :param overwrite: replace an archive of that name instead of refusing.
        :param sample: one request's inputs by name, as a client would send them. They are recorded
            with the outputs that they get here; then the finished archive must give the same in a
            fresh interpreter that has nothing but the archive, torch, numpy and the recorded
            requirements. A server replays the sample when it loads the archive.
        :param tolerance: by how much outputs may differ from the recorded ones: floats relative to
            the largest that is expected, of integers and booleans the share of elements.
        :param code_paths: your own modules and packages that travel whole, whatever is found out of
            what model and transforms need.
        :param requirements: what a server has to have installed, such as ``"scipy==1.16.0"``, in
            place of the versions that are installed here.
        :param serving: options for the server that belong to the model: ``workers``,
            ``batch_size``, ``batch_delay`` (milliseconds), ``response_timeout`` and
            ``startup_timeout`` (seconds), ``device``, ``precision``, ``compile``, ``self_test``,
            ``threads``.
        :param progress: called with the name of each step, what of it is done and its total, in
            bytes (both 0 where nobody knows).
        :returns: the path of the archive.
        :raises InvalidArgument: if a name, the destination, ``overwrite`` or ``progress`` cannot
            be used, or arguments of several kinds are wrong.
        :raises UnsupportedModel: if the model has another form, or one that the handler cannot
            load.
        :raises InvalidFiles: with all ``additional_files`` or ``code_paths`` that cannot travel.
        :raises InvalidRequirements: with all ``requirements`` that cannot be read.
        :raises InvalidServingOptions: with every problem of ``serving``.
        :raises InvalidSample: with every problem of ``sample`` and ``tolerance``.
        :raises ArchiveExists: if the archive is there already.
        :raises NotSerializable: if the model or a transform cannot be pickled; it says which.
        :raises UnresolvedCode: with every module that they need and no server would find.
        :raises ProofFailed: if the sample fails here, or gets another reply in a clean process.
        :raises ArchiveNotWritten: if the file system refuses.
        """
        vendored.check_installed()
        mistakes = Mistakes()
        handler = self._handler
        with mistakes:
            handler = find_handler(self._handler_argument)  # the file may be another one by now
        with mistakes:
            parsed_model = parse_model(model, handler, self._metadata)
        with mistakes, _explain_refusals(dst_path):
            target = find_target(dst_path, model_name, model_version, overwrite=overwrite)
        with mistakes:
            taken = [handler.file[0]] if handler.file else []
            extras = find_extras(additional_files, taken)
        with mistakes:
            request = None if sample is None else parse_sample(sample, handler, self._metadata)
        with mistakes:
            tolerance = parse_tolerance(tolerance)
        with mistakes:
            code = find_extras(code_paths, argument="code_paths")
        with mistakes:
            stated = read_requirements(requirements)
        with mistakes:
            options = parse_serving(serving, find_form(model), handler)
        with mistakes:
            steps = Steps(progress)
        mistakes.raise_all()
        payload = Payload(
            name=model_name,
            version=model_version,
            model=parsed_model,
            transforms=self._transforms,
            metadata_text=self._metadata_text,
            metadata=self._metadata,
            handler=handler,
            extras=extras,
            code=code,
            requirements=stated,
            serving=options,
            sample=request,
            tolerance=tolerance,
        )
        with _explain_refusals(target):
            _write(payload, target, steps, overwrite=overwrite)
        return target


def _write(payload: Payload, target: Path, steps: Steps, *, overwrite: bool) -> None:
    for text in payload.model.remarks:
        remark(text)
    if payload.sample is None:
        remark(_WITHOUT_SAMPLE)
    steps.begin("collect")
    graph = archive_folder.measure(payload)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _destination.staging_folder(target.parent) as staging:
        files = staging / "files"
        files.mkdir()
        archive_folder.write(payload, graph, files)
        size = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
        zips.write(files, staging / target.name, progress=steps.counter("write", size))
        if payload.sample is not None:
            steps.begin("predict in a clean process")
            _proof.prove(staging / target.name, inside=staging, gpu_id=payload.gpu_id)
        _destination.move_into_place(staging / target.name, target, overwrite=overwrite)


def _encode_metadata(meta_data: object) -> bytes:
    if not isinstance(meta_data, dict):
        raise InvalidMetadata(f"meta_data: expected a dict, got {type(meta_data).__name__}")
    problems = plain_json.find_problems(meta_data, "meta_data")
    if problems:
        raise InvalidMetadata(problems)
    return plain_json.encode(plain_json.to_plain(meta_data))


def _check_transforms(transforms: Mapping[str, object]) -> None:
    problems = [
        f"{part}: expected a callable or None, got {type(transform).__name__}"
        for part, transform in transforms.items()
        if transform is not None and not callable(transform)
    ]
    if problems:
        raise InvalidArgument(problems)


@contextmanager
def _explain_refusals(target: object) -> Iterator[None]:
    """Turn an error of the file system into :class:`ArchiveNotWritten`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        where = f" ({error.filename})" if error.filename else ""
        raise ArchiveNotWritten(f"{target} could not be written: {reason}{where}") from error
    except CorruptArchive as error:
        raise ArchiveNotWritten(
            [f"{target} could not be written: {problem}" for problem in error.problems]
        ) from error
