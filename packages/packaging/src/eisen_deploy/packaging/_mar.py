"""``EisenServingMAR``: the line from a model, its transforms and its metadata to an archive."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _destination, _proof
from ._arguments import model_forms, model_inputs, plain_json, serving_argument
from ._arguments.additional_files import find_extras
from ._arguments.handlers import Handler, find_handler
from ._arguments.payload import Payload
from ._capture.requirements import read_requirements
from ._contents import archive_folder
from ._errors import ArchiveNotWritten, InvalidArgument, InvalidMetadata, UnsupportedModel
from ._progress import Progress, Steps
from ._proof import samples
from ._remarks import remark
from ._shared.archive import names, zips
from ._shared.errors import CorruptArchive
from ._shared.model.metadata import Metadata

if TYPE_CHECKING:
    import torch

Transform = Callable[[dict[str, Any]], dict[str, Any]]


class EisenServingMAR:
    """Packs models into archives (MAR) that TorchServe serves.

    ::

        packer = EisenServingMAR(pre_processing, post_processing, metadata)
        packer.pack(model, "model_zoo")

    makes ``model_zoo/model.mar``, which needs nothing on the server but TorchServe, torch, numpy
    and what the model and the transforms import themselves::

        torchserve --start --ncs --model-store model_zoo --models model.mar

    The request handler, the transforms and the metadata travel in the archive. With a handler of
    one's own that derives from ``eisen_deploy.serving.EisenServingHandler`` all of that stays
    in use; with another one, or with one of TorchServe's, transforms and metadata are packed as
    well, and it is up to that handler to use them.

    :param pre_processing: a callable from a collated batch (dict by name; axis 0 of each array is
        the batch) to such a dict, or ``None`` for identity. It is pickled with dill.
    :param post_processing: a callable from the dict of model inputs and outputs to the dict that
        is answered, or ``None`` for identity. It is pickled with dill.
    :param meta_data: any JSON-serialisable dict; :func:`create_metadata` makes one by the
        convention that handler and client understand. What it does not declare is not checked.
    :param handler: ``None`` for ours, the path of a Python file with a handler, or the name of a
        handler that TorchServe ships, such as ``"image_classifier"`` (they load TorchScript only).
    :raises InvalidArgument: if a transform cannot be called.
    :raises InvalidMetadata: with every part of the metadata that is not JSON.
    :raises InvalidHandler: if the handler is none of these.
    """

    def __init__(
        self,
        pre_processing: Transform | None,
        post_processing: Transform | None,
        meta_data: dict[str, Any],
        handler: str | os.PathLike[str] | None = None,
    ) -> None:
        self._transforms = {"pre_processing": pre_processing, "post_processing": post_processing}
        self._meta_data = _checked_metadata(meta_data)
        self._handler_argument = handler
        _check_transforms(self._transforms)
        find_handler(handler)

    def pack(  # noqa: PLR0913 - five are documented, the others are by keyword only
        self,
        model: torch.nn.Module | torch.export.ExportedProgram,
        dst_path: str | os.PathLike[str],
        model_name: str = "model",
        model_version: str = "1.0",
        additional_files: Iterable[str | os.PathLike[str]] | None = None,
        *,
        overwrite: bool = False,
        sample: Mapping[str, Any] | None = None,
        tolerance: float = 1e-3,
        code_paths: Iterable[str | os.PathLike[str]] | None = None,
        requirements: Iterable[str] | None = None,
        serving: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Pack a model into ``<dst_path>/<model_name>.mar``.

        The archive appears there whole, or not at all; the same inputs give the same bytes. The
        model is not changed. All arguments are checked before anything is written.

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
        :param progress: called with the name of each step, what is done of it and all of it, in
            bytes (both 0 where nobody knows).
        :returns: the path of the archive.
        :raises InvalidArgument: if a name or the destination cannot be used.
        :raises UnsupportedModel: if the model is of no such form, or of one that the handler
            cannot load.
        :raises InvalidFiles: with all ``additional_files`` or ``code_paths`` that cannot travel.
        :raises InvalidRequirements: with all ``requirements`` that are none.
        :raises InvalidServingOptions: with every problem of ``serving``.
        :raises InvalidSample: with every problem of ``sample``.
        :raises ArchiveExists: if the archive is there already.
        :raises NotSerializable: if the model or a transform cannot be pickled; it says which.
        :raises UnresolvedCode: with every module that they need and that no server would find.
        :raises ProofFailed: if the sample fails here, or gets another reply in a clean process.
        :raises ArchiveNotWritten: if the file system refuses.
        """
        with _refusals_told(dst_path):
            target = _target(dst_path, model_name, model_version)
        model, form, remarks = model_forms.ready(model)
        handler = find_handler(self._handler_argument)
        handler.check_loads(form)
        keywords = self._keywords(model, handler, remarks)
        serving_argument.checked(serving, form, own_handler=handler.is_ours)
        payload = Payload(
            name=model_name,
            version=model_version,
            model=model,
            form=form,
            transforms=self._transforms,
            meta_data=self._meta_data,
            handler=handler,
            extras=find_extras(additional_files, [handler.file[0]] if handler.file else []),
            code=find_extras(code_paths, argument="code_paths"),
            requirements=read_requirements(requirements),
            serving=serving,
            sample=sample,
            tolerance=tolerance,
            keywords=keywords,
        )
        if not overwrite:
            _destination.check_free(target)
        if sample is None:
            remarks.append(
                "packed without a sample: nothing shows that the archive answers as the model and "
                "the transforms do here; sample= is one request's inputs, and proves it"
            )
        for text in remarks:
            remark(text)
        with _refusals_told(target):
            _write(payload, target, Steps(progress), overwrite=overwrite)
        return target

    def _keywords(self, model: Any, handler: Handler, remarks: list[str]) -> list[str]:
        """Return the model's inputs that go to it by name, as far as our handler calls it.

        :raises UnsupportedModel: if it cannot be called with the inputs that the metadata names.
        """
        if not handler.is_ours:
            return []
        names = Metadata.parse(json.loads(self._meta_data)).model_inputs
        taken = model_inputs.taken_by(model)
        problems = list(model_inputs.problems_of(taken, names))
        if problems and handler.file is None:  # a subclass may call the model in its own way
            raise UnsupportedModel(problems)
        remarks += model_inputs.remarks_on(taken, names)
        return model_inputs.keywords_in(taken, names)


def _write(payload: Payload, target: Path, steps: Steps, *, overwrite: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _destination.staging_folder(target.parent) as staging:
        files = staging / "files"
        files.mkdir()
        steps.begin("collect")
        archive_folder.write(payload, files)
        size = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
        zips.write(files, staging / target.name, progress=steps.counter("write", size))
        if payload.sample is not None:
            steps.begin("predict in a clean process")
            gpu_id = samples.gpu_of(payload)
            _proof.prove(staging / target.name, inside=staging, gpu_id=gpu_id)
        _destination.move_into_place(staging / target.name, target, overwrite=overwrite)


def _checked_metadata(meta_data: Any) -> bytes:
    if not isinstance(meta_data, dict):
        raise InvalidMetadata(f"meta_data: expected a dict, came {type(meta_data).__name__}")
    problems = plain_json.problems_of(meta_data, "meta_data")
    if problems:
        raise InvalidMetadata(problems)
    return plain_json.encode(plain_json.plain(meta_data))


def _check_transforms(transforms: Mapping[str, object]) -> None:
    problems = [
        f"{part}: expected a callable or None, came {type(transform).__name__}"
        for part, transform in transforms.items()
        if transform is not None and not callable(transform)
    ]
    if problems:
        raise InvalidArgument(problems)


def _target(dst_path: Any, model_name: object, model_version: object) -> Path:
    problems = [
        problem
        for what, value in (("model_name", model_name), ("model_version", model_version))
        if (problem := names.identifier_problem(what, value))
    ]
    if not isinstance(dst_path, (str, os.PathLike)):
        problems.append(f"dst_path: expected a path, came {type(dst_path).__name__}")
    elif os.path.lexists(dst_path) and not Path(dst_path).is_dir():
        problems.append(f"dst_path: {os.fspath(dst_path)} is not a folder")
    if problems:
        raise InvalidArgument(problems)
    target = Path(dst_path) / f"{model_name}.mar"
    if target.is_dir():
        raise InvalidArgument(f"{target} is a folder: pick another model_name or dst_path")
    return target


@contextmanager
def _refusals_told(target: object) -> Iterator[None]:
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
