"""A batch of requests through the stages, each request answered for itself.

``decode → pre_process → inference → post_process → encode``: whatever one request does wrong, or
makes a transform or the model raise, becomes the answer to that request alone.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch

from . import batching
from ._shared.protocol import JSON_TYPE
from .decode import Call
from .decode import decode as decode_request
from .encode import declared_outputs
from .encode import encode as encode_outputs
from .errors import ModelFailed, OutOfMemory, ServingError, TransformFailed
from .messages import Reply, Request
from .service import EisenServingHandler

_log = logging.getLogger("eisen_deploy.serving")


class Job:
    """One request on its way: what the last stage gave, the time of each, the answer."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.call = Call()
        self.data: dict[str, Any] = {}
        self.reply: Reply | None = None
        self.seconds: dict[str, float] = {}
        self.inferred = False

    def run(self, stage: Stage, handler: EisenServingHandler) -> None:
        """Do one stage's work if there is no answer yet; an error that it raises is one."""
        if self.reply is not None:
            return
        start = perf_counter()
        name = stage.__name__
        try:
            stage(handler, self)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
            self.reply = _error_reply(name, error)
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


Stage = Callable[[EisenServingHandler, Job], None]


def answer(handler: EisenServingHandler, requests: Sequence[Request]) -> list[Reply]:
    """Answer a batch.

    :param handler: an initialised handler.
    :returns: one reply for each request, in their order. Never raises for what is in a request.
    """
    jobs = [Job(request) for request in requests]
    if _is_overridden(handler, "handle"):
        _run(handler, jobs, decode, handle)
    else:
        _run(handler, jobs, decode, pre_process)
        if not _is_overridden(handler, "inference"):
            _infer_together(handler, jobs)
        _run(handler, jobs, inference, post_process, encode)
    return [_with_headers(handler, job, len(jobs)) for job in jobs]


def _run(handler: EisenServingHandler, jobs: Sequence[Job], *stages: Stage) -> None:
    for job in jobs:
        for stage in stages:
            job.run(stage, handler)


def _infer_together(handler: EisenServingHandler, jobs: Sequence[Job]) -> None:
    start = perf_counter()
    waiting = {index: job.data for index, job in enumerate(jobs) if job.reply is None}
    for index, data in batching.infer_together(handler, waiting).items():
        jobs[index].data = data
        jobs[index].inferred = True
        jobs[index].seconds["inference"] = perf_counter() - start


def _is_overridden(handler: EisenServingHandler, method: str) -> bool:
    return getattr(type(handler), method) is not getattr(EisenServingHandler, method)


# --- the stages; their names stand in Server-Timing and in error messages ------------------


def decode(handler: EisenServingHandler, job: Job) -> None:
    """Read the request; one with no body asks for the metadata, which is the answer."""
    job.call = decode_request(job.request, handler.metadata)
    if job.call.inputs is None:
        text = handler.get_metadata()[0]
        job.reply = Reply(text.encode("utf-8"), headers={"Content-Type": JSON_TYPE})
    else:
        job.data = job.call.inputs


def pre_process(handler: EisenServingHandler, job: Job) -> None:
    """Apply the pre-processing transform."""
    job.data = handler.pre_process(job.data)


def inference(handler: EisenServingHandler, job: Job) -> None:
    """Run the model, unless the job had its share of a common pass."""
    if not job.inferred:
        job.data = handler.inference(job.data)


def post_process(handler: EisenServingHandler, job: Job) -> None:
    """Apply the post-processing transform."""
    job.data = handler.post_process(job.data)


def encode(handler: EisenServingHandler, job: Job) -> None:
    """Make the answer of the declared outputs."""
    outputs = declared_outputs(handler.metadata, job.data)
    job.reply = encode_outputs(outputs, job.call, handler.archive)


def handle(handler: EisenServingHandler, job: Job) -> None:
    """Take whatever an overridden ``handle`` gives: bytes, JSON text, or a dict of outputs."""
    result: Any = handler.handle(job.data)[0]
    if isinstance(result, dict):
        job.data = result
        encode(handler, job)
    elif isinstance(result, str):
        job.reply = Reply(result.encode("utf-8"), headers={"Content-Type": JSON_TYPE})
    else:
        job.reply = Reply(bytes(result), headers=getattr(result, "headers", {}))


# --- answers ------------------------------------------------------------------------------


def _error_reply(stage: str, error: BaseException) -> Reply:
    if isinstance(error, ServingError):
        _log.info("%s: %d %s", stage, error.status, type(error).__name__)
    else:
        error = _withheld(stage, error)
    return Reply(error.body(), error.status, {"Content-Type": JSON_TYPE})


def _withheld(stage: str, error: BaseException) -> ServingError:
    """Return the answer to what user code raised, without its text: that may hold data."""
    kind = type(error).__name__
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s raised %s (its text is withheld, it may hold data)\n%s", stage, kind, where)
    if _is_out_of_memory(error):
        return OutOfMemory(f"{stage} ran out of memory")
    failed = ModelFailed if stage == "inference" else TransformFailed
    return failed(f"{stage} raised {kind}; the server's log tells where")


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # torch's allocator on the CPU has no class of its own.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _with_headers(handler: EisenServingHandler, job: Job, batch_size: int) -> Reply:
    archive = handler.archive
    times = [f"{stage};dur={1000 * spent:.3f}" for stage, spent in job.seconds.items()]
    headers = {
        "Eisen-Model-Name": archive.name,
        "Eisen-Model-Version": archive.version,
        "Eisen-Archive-Digest": f"sha-256={archive.digest}",
        "Server-Timing": ", ".join([*times, f'batch;desc="{batch_size}"']),
    }
    reply = job.reply or _error_reply("handle", ModelFailed("no stage gave an answer"))
    return replace(reply, headers={**headers, **reply.headers})
