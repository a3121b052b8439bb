"""The entry point that TorchServe imports: ``_eisen_serving.handler``.

TorchServe calls :func:`handle` with ``None`` to load the model, then with each batch. It hides an
ImportError that this module raises while it is imported, and answers any exception out of
:func:`handle` with a 503 for every request of the batch: neither may happen.
"""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import metrics, server_config, torchserve
from ._shared.descriptions import MODEL_FILES
from ._shared.serving_options import FILE_NAME
from .errors import LoadFailed
from .limits import limits_of
from .messages import Reply, Request
from .verified import verify

if TYPE_CHECKING:
    from .service import EisenServingHandler

_log = logging.getLogger("eisen_deploy.serving")

# One worker process serves one model.
_handler: EisenServingHandler | None = None
_answer: Callable[[Sequence[Request]], list[Reply]] | None = None


def handle(rows: list[Mapping[str, Any]] | None, context: Any) -> list[Any] | None:
    """Answer a batch; with ``None`` for the batch, load the archive.

    :param rows: one dict for each request, as TorchServe gives it.
    :returns: one body for each request, in their order; status and headers are in the context.
    :raises LoadFailed: if the archive is damaged, or cannot be loaded on this server.
    """
    if rows is None:
        _start(context)
        return None
    if _answer is None:
        raise LoadFailed("a batch came before the archive was loaded")
    requests = [torchserve.to_request(row, context, index) for index, row in enumerate(rows)]
    replies = _answer(requests)
    answers = [torchserve.write_reply(reply, context, index) for index, reply in enumerate(replies)]
    torchserve.raise_for_grpc(replies, context)
    return answers


def _start(context: Any) -> None:
    global _handler, _answer  # TorchServe keeps no object for a handler function
    if not faulthandler.is_enabled():
        faulthandler.enable()  # a crash in native code then tells where; it prints no values
    torchserve.prepare_worker()
    try:
        folder = torchserve.model_folder(context)
        handler = _handler_class(folder)()
        handler.initialize(context)
        handler.self_test(folder)
    except LoadFailed as error:
        _log.error("archive refused: %s", error)
        raise
    _handler, _answer = handler, _answering(handler, folder, context)


def _answering(
    handler: EisenServingHandler, folder: Path, context: Any
) -> Callable[[Sequence[Request]], list[Reply]]:
    """Return the function that answers a batch within what this server allows."""
    # They need numpy and torch, which are there now.
    from . import batching  # noqa: PLC0415
    from .pipeline import answer  # noqa: PLC0415

    server, archive = server_config.read(), handler.archive
    registered = getattr(context, "model_name", archive.name)
    has_file = (folder / FILE_NAME).exists()
    limits = limits_of(server, registered, archive.version, archive.options, has_file=has_file)
    _log.info("worker %d serves %s %s: %s", os.getpid(), registered, archive.version, limits)
    if problem := batching.problem_of(handler):
        _log.info("the requests of a batch run one by one: %s", problem)
    counters = None
    if server.reads_model_metrics is not None:
        emit = metrics.print_line if server.reads_model_metrics else None
        counters = metrics.Metrics((registered, archive.version), emit)
    return partial(answer, handler, limits=limits, metrics=counters)


def _handler_class(folder: Path) -> type[EisenServingHandler]:
    """Return the handler's class: a subclass from the archive if it was packed with one."""
    # All code, before any of it is imported; loading checks the rest, which is large, itself.
    about = verify(folder, later=set(MODEL_FILES.values()))
    for name in ("numpy", "torch"):
        _require(name)
    from .loading import make_importable  # noqa: PLC0415 - needs numpy and torch
    from .service import EisenServingHandler  # noqa: PLC0415

    make_importable(folder)
    if about["handler"] is None:
        return EisenServingHandler
    return _subclass(about["handler"], EisenServingHandler)


def _require(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise LoadFailed(f"this server lacks {name} ({error}): install it beside TorchServe") from (
            error
        )


def _subclass(
    entry: Mapping[str, str], base: type[EisenServingHandler]
) -> type[EisenServingHandler]:
    """Import the subclass that an archive was packed with."""
    try:
        module = importlib.import_module(entry["file"].removesuffix(".py"))
        found = getattr(module, entry["class"])
    except (Exception, SystemExit) as error:
        raise LoadFailed(
            f"handler {entry['file']} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise LoadFailed(f"{entry['class']} of {entry['file']} is no EisenServingHandler")
    return found
