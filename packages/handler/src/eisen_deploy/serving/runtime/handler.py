"""``EisenServingHandler``: an archive's transforms and model behind the documented methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ._shared.errors import ContractError
from ._shared.model.metadata import Metadata
from .answering import stages
from .answering.jobs import Job
from .answering.stages import Stage
from .archive import items
from .errors import LoadFailed, TransformFailed, to_serving_error
from .messages import Batch, EncodedBody, Request

if TYPE_CHECKING:
    from .archive.loading import LoadedArchive


class HandlerContext(Protocol):
    """What ``EisenServingHandler.initialize`` gets from any server."""

    @property
    def system_properties(self) -> Mapping[str, Any]:
        """``model_dir`` is the folder of the unpacked archive, ``gpu_id`` the GPU's number."""


class EisenServingHandler:
    """Answers the requests to one model. It is put into every archive by itself.

    A subclass may override any method. Requests share a forward pass only where neither
    :meth:`inference` nor :meth:`handle` is overridden, and the three stages are not called where
    :meth:`handle` is.
    """

    def __init__(self) -> None:
        self._loaded: LoadedArchive | None = None

    def initialize(self, ctx: HandlerContext) -> None:
        """Load an unpacked archive.

        :param ctx: ``system_properties`` with ``model_dir``, the folder of the unpacked archive,
            and ``gpu_id``, the number of the GPU to run on (``None``: the CPU).
        :raises LoadFailed: if a file is not the one that was packed, or cannot be loaded here.
        """
        from .archive.loading import LoadedArchive, load  # noqa: PLC0415 - needs torch

        properties = ctx.system_properties
        loaded = getattr(ctx, "loaded", None)  # packaging has it in memory, and no files yet
        if not isinstance(loaded, LoadedArchive):
            loaded = load(Path(properties["model_dir"]), properties.get("gpu_id"))
        self._loaded = loaded

    @property
    def archive(self) -> LoadedArchive:
        """The archive in memory.

        :raises LoadFailed: before :meth:`initialize`.
        """
        if self._loaded is None:
            raise LoadFailed("the handler is not initialised: call initialize(ctx) first")
        return self._loaded

    @property
    def metadata(self) -> Metadata:
        """What the metadata declares."""
        return self.archive.metadata

    def get_metadata(self) -> list[str]:
        """Return the metadata that the archive was packed with, as one JSON text in a list."""
        return [self.archive.metadata_text]

    def pre_process(self, data: Batch) -> Batch:
        """Apply the pre-processing transform.

        :param data: a collated batch: values by name, axis 0 of each array is the batch axis.
        :returns: what the transform gives: a dict with at least the model's inputs.
        """
        transform = self.archive.pre_processing
        if transform is None:
            return data
        result = items.apply(transform, data, self.metadata.model_inputs or ())
        return _require_dict(result, "pre_processing")

    def inference(self, input_dict: Batch) -> Batch:
        """Run the model on a pre-processed batch.

        :param input_dict: values by name; those that ``model_input_list`` names go to the model
            by position, all of them where it is not declared.
        :returns: ``input_dict`` and the model's outputs as numpy arrays, by the names in
            ``model_output_list``.
        """
        arguments = self.model_arguments(input_dict)
        outputs = self.run_model(arguments)
        if runs_user_code(self, stages.post_process):
            outputs = _copy_from_model(outputs, arguments)
        return {**input_dict, **outputs}

    def model_arguments(self, input_dict: Mapping[str, object]) -> list[object]:
        """Return the model's arguments from a pre-processed batch, arrays as tensors.

        :raises TransformFailed: if pre-processing did not give one of them.
        """
        names = self.metadata.model_inputs or tuple(input_dict)
        missing = [name for name in names if name not in input_dict]
        if missing:
            raise TransformFailed(
                f"pre_processing gave no {', '.join(missing)}, which model_input_list names"
            )
        model = self.archive.model
        return [
            model.prepare_argument(name, items.to_plain(input_dict[name]), self.metadata)
            for name in names
        ]

    def run_model(self, arguments: Sequence[object]) -> dict[str, object]:
        """Run the model on its arguments and return its outputs as numpy arrays by name."""
        from .archive.outputs import name_outputs  # noqa: PLC0415 - needs torch

        return name_outputs(self.archive.model(arguments), self.metadata.model_outputs)

    def post_process(self, output_dict: Batch) -> Batch:
        """Apply the post-processing transform.

        :param output_dict: the pre-processed batch and the model's outputs, values by name.
        :returns: what the transform gives: a dict with at least the declared outputs.
        """
        transform = self.archive.post_processing
        if transform is None:
            return output_dict
        inputs, outputs = self.metadata.model_inputs, self.metadata.model_outputs
        given = [name for name in outputs or () if name in output_dict]
        result = items.apply(transform, output_dict, inputs or (), given)
        return _require_dict(result, "post_processing")

    def handle(self, data: Batch) -> list[EncodedBody]:
        """Answer one request.

        :param data: the request's inputs by name.
        :returns: one body in a list: the outputs that the metadata declares, in the binary form
            of the Open Inference Protocol.
        :raises ServingError: if the request goes against the metadata, or a stage fails.
        """
        job = Job(Request({}, b""))
        job.data = self.conform(data)
        for stage in stages.AFTER_DECODE:
            stage(self, job)
        return [EncodedBody.from_reply(job.finished)]

    def conform(self, data: Mapping[str, object]) -> Batch:
        """Return a request's inputs as the metadata declares them.

        :raises InvalidInput: with every problem, if they go against it.
        """
        try:
            return self.metadata.conform(data)
        except ContractError as error:
            raise to_serving_error(error) from None


# --- what a subclass and the archive's transforms make of the stages --------------------------


def is_overridden(handler: EisenServingHandler, method: str) -> bool:
    """Whether a handler's class has a documented method of its own."""
    return getattr(type(handler), method) is not getattr(EisenServingHandler, method)


def pick_stages(handler: EisenServingHandler) -> tuple[Stage, ...]:
    """Return the stages of one request to a handler, in their order."""
    return stages.STAGES_AROUND_HANDLE if is_overridden(handler, "handle") else stages.STAGES


def runs_user_code(handler: EisenServingHandler, stage: Stage) -> bool:
    """Whether a stage runs the model, or a transform that is more than identity."""
    archive = handler.archive
    if stage is stages.pre_process:
        return archive.pre_processing is not None or is_overridden(handler, "pre_process")
    if stage is stages.post_process:
        return archive.post_processing is not None or is_overridden(handler, "post_process")
    return stage in (stages.inference, stages.handle)


def _copy_from_model(
    outputs: Mapping[str, object], arguments: Sequence[object]
) -> dict[str, object]:
    """Return a model's outputs as copies, which post-processing may write into.

    An output may be memory that the model keeps, such as one of its weights or a buffer that it
    uses again. What it made of an argument in place is memory of the request, and stays.
    """
    from .archive.model import shares_memory  # noqa: PLC0415 - needs torch
    from .archive.outputs import copy_arrays  # noqa: PLC0415

    return {
        name: value if shares_memory(value, arguments) else copy_arrays(value)
        for name, value in outputs.items()
    }


def _require_dict(value: object, what: str) -> Batch:
    if not isinstance(value, Mapping):
        raise TransformFailed(f"{what} must give a dict, gave {type(value).__name__}")
    return dict(value)
