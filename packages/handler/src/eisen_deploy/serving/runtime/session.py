"""The seam between an archive and whatever server runs it: open a folder, answer requests.

Nothing here, and nothing that this imports, knows which server that is. What a server allows and
assigns is handed in. This module needs the standard library only until a session is opened, so
that a package which is missing on the server is reported by its own name.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ._shared.archive.allowed_values import MODEL_FILES
from ._shared.archive.description import OwnHandler
from ._shared.model.serving_options import ServingOptions
from .answering import error_texts
from .answering.interrupts import Interrupt
from .answering.limits import Limits
from .archive.verification import verify
from .errors import LoadFailed
from .messages import Reply, Request

if TYPE_CHECKING:
    from .answering.counters import Counters
    from .archive.loading import LoadedArchive
    from .handler import EisenServingHandler, HandlerContext

_log = logging.getLogger("eisen_deploy.serving")


class Context:
    """What ``initialize(ctx)`` of a handler gets on every server, in the documented form.

    :param folder: of the unpacked archive.
    :param gpu_id: number of the GPU that the server assigns, if it assigns one.
    :param loaded: the archive, where it is in memory already: nothing is read from the folder.
    """

    def __init__(
        self, folder: Path, gpu_id: int | None = None, loaded: LoadedArchive | None = None
    ) -> None:
        self.loaded = loaded
        self.system_properties = {
            "model_dir": str(folder),
            "gpu_id": gpu_id,
            "batch_size": 1,
            "server_name": "MMS",
            "server_version": "0.12.0",
            "limit_max_image_pixels": True,
        }
        manifest = folder / "MAR-INF" / "MANIFEST.json"
        self.manifest = json.loads(manifest.read_text("utf-8")) if manifest.exists() else {}
        self.model_name = self.manifest.get("model", {}).get("modelName", "model")
        self.model_yaml_config: dict[str, object] = {}


class InferenceSession:
    """An archive in memory. Its model runs on the thread that calls :meth:`answer`.

    :param handler: initialised.
    :param limits: what the server allows a request and a reply.
    :param counters: where each batch is counted, if anywhere.
    :param interrupt: what ends a stage whose time is over, see :meth:`open`.
    :param show_errors: whether replies and the log have the texts of errors that user code raises;
        these may hold data of patients.
    """

    def __init__(
        self,
        handler: EisenServingHandler,
        limits: Limits = Limits(),  # noqa: B008 - it is immutable
        counters: Counters | None = None,
        interrupt: Interrupt | None = None,
        *,
        show_errors: bool = False,
    ) -> None:
        from .answering import pipeline  # noqa: PLC0415 - needs torch

        self.handler = handler
        self.limits = limits
        self._answer = partial(
            pipeline.answer,
            handler,
            limits=limits,
            counters=counters,
            interrupt=interrupt,
            show_errors=show_errors,
        )

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        gpu_id: int | None = None,
        context: HandlerContext | None = None,
        workers: int | None = None,
        limits: Callable[[ServingOptions], Limits] = lambda _: Limits(),
        counters: Counters | None = None,
        interrupt: Interrupt | None = None,
        self_test: bool = False,
    ) -> InferenceSession:
        """Verify, import and load an unpacked archive, and replay its sample.

        Where the environment variable ``EISEN_SHOW_ERRORS`` is 1, texts of errors are shown.

        :param gpu_id: number of the GPU to run on; ``None`` for the CPU.
        :param context: for ``initialize``, in place of a :class:`Context`; it names the GPU itself.
        :param workers: processes that share this machine's cores for this model, if that is known.
        :param limits: returns what the server allows, given the archive's options.
        :param interrupt: what ends a stage whose time is over; one object for each session. By
            default an :class:`~.answering.interrupts.AlarmInterrupt`, for a session that answers
            on Python's main thread; pass a :class:`~.answering.interrupts.ThreadInterrupt` for one
            that answers on another. Where neither can interrupt (an alarm on another thread or on
            Windows, and both within one call into native code) the stage runs to its end. Then its
            request is answered with ``TimedOut``, and no further stage begins.
        :param self_test: replay the sample also where the archive's options forbid that.
        :raises LoadFailed: if a file is not the one that was packed, cannot be loaded here, or the
            sample gets another reply than when it was packed.
        """
        try:
            handler = _load(folder, gpu_id, workers, context)
            archive = handler.archive
            if archive.sample is not None and (self_test or archive.options.self_test):
                from .answering import selftest  # noqa: PLC0415 - needs torch

                selftest.check(handler, folder, archive.sample)
        except LoadFailed as error:
            _log.error("archive refused: %s", error)
            raise
        show_errors = error_texts.are_shown()
        if show_errors:
            _log.warning(
                "%s: replies and this log have the texts of errors, which may hold patients' data",
                error_texts.SHOW,
            )
        made_limits = limits(archive.options)
        return cls(handler, made_limits, counters, interrupt, show_errors=show_errors)

    @property
    def batch_problem(self) -> str | None:
        """Why the requests of a batch run one by one; ``None`` if they may share a pass."""
        from .answering import batching  # noqa: PLC0415 - needs torch

        return batching.find_problem(self.handler)

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer a batch.

        :returns: one reply for each request, in their order; each has memory of its own, but that
            of the last one has to be sent before the next call. Never raises for what is in a
            request.
        """
        return self._answer(requests)


def _load(
    folder: Path, gpu_id: int | None, workers: int | None, context: HandlerContext | None
) -> EisenServingHandler:
    """Return the archive's handler, initialised."""
    about = verify(folder, later=set(MODEL_FILES.values()))  # all code before any is imported
    handler_class = _import_handler(folder, about.handler)
    from .archive.options import read_options, use_threads  # noqa: PLC0415 - needs torch

    use_threads(read_options(folder, about.serving), workers)
    handler = handler_class()
    handler.initialize(Context(folder, gpu_id) if context is None else context)
    return handler


def _import_handler(folder: Path, subclass: OwnHandler | None) -> type[EisenServingHandler]:
    """Return the handler's class: a subclass from the archive if it was packed with one."""
    for name in ("numpy", "torch"):
        try:
            importlib.import_module(name)
        except ImportError as error:  # noqa: PERF203 - the first one ends it
            what = f"this server lacks {name} ({error}): install it beside the server"
            raise LoadFailed(what) from error
    from .archive.loading import make_importable  # noqa: PLC0415 - needs torch
    from .handler import EisenServingHandler  # noqa: PLC0415

    make_importable(folder)
    if subclass is None:
        return EisenServingHandler
    return _import_subclass(subclass.file, subclass.class_name, EisenServingHandler)


def _import_subclass(
    file: str, name: str, base: type[EisenServingHandler]
) -> type[EisenServingHandler]:
    try:
        found = getattr(importlib.import_module(file.removesuffix(".py")), name)
    except (Exception, SystemExit) as error:
        raise LoadFailed(
            f"handler {file} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise LoadFailed(f"{name} of {file} is not an EisenServingHandler")
    return found
