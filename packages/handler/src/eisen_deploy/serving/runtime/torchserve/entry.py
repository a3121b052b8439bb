"""The entry point that TorchServe imports: ``_eisen_serving.torchserve.entry``.

TorchServe calls :func:`handle` with ``None`` to load the model, then with each batch. It hides an
ImportError that this module raises while it is imported, and answers any exception out of
:func:`handle` with a 503 for every request of the batch: neither may happen.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

from .._shared.model.serving_options import FILE_NAME
from ..errors import LoadFailed
from ..session import InferenceSession
from . import metrics, rows, server_config
from .load_report import LoadReport
from .sending import Parts
from .worker_context import Row, WorkerContext

_log = logging.getLogger("eisen_deploy.serving")

# One worker process serves one model.
_session: InferenceSession | None = None


def handle(batch: list[Row] | None, context: WorkerContext) -> list[bytes | Parts] | None:
    """Answer a batch; with ``None`` for the batch, load the archive.

    :param batch: one dict for each request, as TorchServe gives it.
    :returns: one body for each request, in their order; status and headers are in the context.
    :raises LoadFailed: if the archive is damaged, or cannot be loaded on this server.
    """
    global _session  # noqa: PLW0603 - TorchServe keeps no object for a handler function
    if batch is None:
        with LoadReport(rows.registered_model(context)):
            _session = _open(context)
        return None
    if _session is None:
        raise LoadFailed("got a batch before the archive was loaded")
    requests = [rows.to_request(row, context, index) for index, row in enumerate(batch)]
    replies = _session.answer(requests)
    answers = [rows.write_reply(reply, context, index) for index, reply in enumerate(replies)]
    rows.raise_for_grpc(replies, context)
    return answers


def _open(context: WorkerContext) -> InferenceSession:
    """Open the archive that TorchServe unpacked, within what this server allows and counts."""
    rows.prepare_worker()
    folder, server = Path(context.system_properties["model_dir"]), server_config.read()
    model = rows.registered_model(context)
    has_file = (folder / FILE_NAME).exists()
    session = InferenceSession.open(
        folder,
        context=context,
        workers=server.find_setting(*model, "minWorkers") or server.default_workers_per_model,
        limits=partial(server_config.find_limits, server, *model, has_file=has_file),
        counters=metrics.counters_for(server, model),
    )
    _log.info("worker %d serves %s %s: %s", os.getpid(), *model, session.limits)
    if problem := session.batch_problem:
        _log.info("the requests of a batch run one by one: %s", problem)
    return session
