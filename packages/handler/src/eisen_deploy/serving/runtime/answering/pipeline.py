"""A batch of requests through the stages, each request answered for itself.

``decode → pre_process → inference → post_process → encode → compress``: whatever one request does
wrong, or makes a transform or the model raise, becomes the answer to that request alone. So do a
reply that is larger than the server sends, and what takes longer than the server waits.

One request goes through all stages, and its reply gets memory of its own, before a transform or
the model sees the next one: user code may use its buffers again, and may keep from one stage to
the next what it likes. Only where packaging has proven that this does not matter, a whole batch
is pre-processed first, and shares a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, Protocol

from .._shared.wire.protocol import JSON_TYPE
from ..archive.outputs import owned
from ..errors import ModelFailed
from ..handler import EisenServingHandler, is_overridden
from ..messages import Reply, Request
from . import batching, compression
from .budget import Budget, Interrupted
from .decode import decode as decode_request
from .encode import declared_outputs
from .encode import encode as encode_outputs
from .jobs import Job
from .limits import Limits

Stage = Callable[[EisenServingHandler, Job], None]


class Counters(Protocol):
    """What a server counts."""

    def count(self, requests: Sequence[tuple[str, int, int]], seconds: Mapping[str, float]) -> None:
        """Count a batch.

        :param requests: for each of them its outcome, and the bytes of its body and of its reply's.
        :param seconds: spent by all of them in each stage.
        """


def answer(
    handler: EisenServingHandler,
    requests: Sequence[Request],
    limits: Limits = Limits(),  # noqa: B008 - it is immutable
    counters: Counters | None = None,
) -> list[Reply]:
    """Answer a batch.

    :param handler: an initialised handler.
    :param limits: what the server allows.
    :param counters: where the batch is counted, if anywhere.
    :returns: one reply for each request, in their order; each has memory of its own, but that of
        the last one, and of a batch of one, has to be sent before the next call. Never raises for
        what is in a request.
    """
    with Budget(limits.seconds) as budget:
        jobs = [Job(request, limits.request) for request in requests]
        batch = _Batch(handler, jobs, limits, budget)
        replies = batch.answer()
    if counters is not None:
        outcomes = [
            (job.outcome, job.request.size, reply.size)
            for job, reply in zip(batch.jobs, replies, strict=True)
        ]
        counters.count(outcomes, batch.seconds())
    return replies


def stages(handler: EisenServingHandler) -> tuple[Stage, ...]:
    """Return the stages of one request in their order."""
    if is_overridden(handler, "handle"):
        return decode, handle
    return decode, pre_process, inference, post_process, encode


class _Batch:
    """Requests that are answered together, within one budget of time."""

    def __init__(
        self, handler: EisenServingHandler, jobs: Sequence[Job], limits: Limits, budget: Budget
    ) -> None:
        self.handler = handler
        self.jobs = jobs
        self.limits = limits
        self.budget = budget
        self.common_seconds = 0.0

    def answer(self) -> list[Reply]:
        """Return the reply to each request."""
        left = stages(self.handler)
        if len(self.jobs) > 1 and batching.problem_of(self.handler) is None:
            for job in self.jobs:
                self._run(job, decode, pre_process)
                if runs_user_code(pre_process, self.handler):
                    job.data = owned(job.data)
            self._infer_together()
            left = left[left.index(inference) :]
        return [self._finish(job, left) for job in self.jobs]

    def _finish(self, job: Job, left: Sequence[Stage]) -> Reply:
        """Take a request through its last stages to a reply that later ones cannot change."""
        self._run(job, *left)
        reply = self._reply(job)
        is_last = job is self.jobs[-1]
        return reply if is_last or self._is_out_of_reach(job) else reply.owned()

    def _is_out_of_reach(self, job: Job) -> bool:
        """Whether what a reply is made of has never been in the hands of user code."""
        transforms = (pre_process, post_process)
        return job.inferred and not any(runs_user_code(each, self.handler) for each in transforms)

    def seconds(self) -> dict[str, float]:
        """Return the time spent in each stage, by all requests; that of a common pass once."""
        total: dict[str, float] = {}
        for job in self.jobs:
            for stage, spent in job.seconds.items():
                share = 0.0 if job.inferred and stage == "inference" else spent
                total[stage] = total.get(stage, 0.0) + share
        if self.common_seconds:
            total["inference"] = total.get("inference", 0.0) + self.common_seconds
        return total

    def _run(self, job: Job, *stages: Stage) -> None:
        for stage in stages:
            if job.reply is None:
                self._run_stage(stage, job)

    def _run_stage(self, stage: Stage, job: Job) -> None:
        """Do one stage's work for one request; an error that it raises is the answer."""
        start, name, entered = perf_counter(), stage.__name__, False
        try:
            self.budget.check()
            entered = True
            job.begun = job.begun or runs_user_code(stage, self.handler)
            self.budget.run(stage, self.handler, job)
        except Interrupted:
            job.fail(name, self.limits.time_over(name, begun=job.begun or entered))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
            job.fail(name, error)
        job.seconds[name] = job.seconds.get(name, 0.0) + perf_counter() - start

    def _infer_together(self) -> None:
        start = perf_counter()
        waiting = {index: job for index, job in enumerate(self.jobs) if job.reply is None}
        data = {index: job.data for index, job in waiting.items()}
        if len(waiting) < 2 or self.budget.is_spent:
            return  # each of them has its own turn
        try:
            inferred = self.budget.run(batching.infer_together, self.handler, data)
        except Interrupted:
            inferred = {}
            for job in waiting.values():
                job.fail("inference", self.limits.time_over("inference", begun=True))
        self.common_seconds = perf_counter() - start
        for index, outputs in inferred.items():
            job = self.jobs[index]
            job.data, job.inferred, job.begun = outputs, True, True
            job.seconds["inference"] = self.common_seconds

    def _reply(self, job: Job) -> Reply:
        """Return the answer to a request: compressed where that pays, and not over the limit."""
        if job.reply is None:
            job.fail("handle", ModelFailed("no stage gave an answer"))
        try:
            if not self.budget.is_spent:
                compress(job)
            self.limits.check(job.answer)
        except Exception as error:  # noqa: BLE001 - one request must not harm the others
            job.fail("compress", error)
        return replace(job.answer, headers={**self._headers(job), **job.answer.headers})

    def _headers(self, job: Job) -> dict[str, str]:
        archive = self.handler.archive
        times = [f"{stage};dur={1000 * spent:.3f}" for stage, spent in job.seconds.items()]
        return {
            "Eisen-Model-Name": archive.name,
            "Eisen-Model-Version": archive.version,
            "Eisen-Archive-Digest": f"sha-256={archive.digest}",
            "Server-Timing": ", ".join([*times, f'batch;desc="{len(self.jobs)}"']),
        }


def runs_user_code(stage: Stage, handler: EisenServingHandler) -> bool:
    """Whether a stage runs the model, or a transform that is more than identity."""
    archive = handler.archive
    if stage is pre_process:
        return archive.pre_processing is not None or is_overridden(handler, "pre_process")
    if stage is post_process:
        return archive.post_processing is not None or is_overridden(handler, "post_process")
    return stage in (inference, handle)


# --- the stages; their names stand in Server-Timing and in error messages ------------------


def decode(handler: EisenServingHandler, job: Job) -> None:
    """Read the request; one with no body asks for the metadata, which is the answer."""
    job.call = decode_request(job.request, handler.metadata, job.max_body)
    if job.call.inputs is None:
        text = handler.get_metadata()[0]
        job.reply = Reply((text.encode("utf-8"),), headers={"Content-Type": JSON_TYPE})
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


def compress(job: Job) -> None:
    """Compress the reply if the client takes that and it pays; the time is told if it was done."""
    start = perf_counter()
    accepted = job.request.headers.get("accept-encoding", "")
    reply = compression.compress(job.answer, accepted)
    if reply is not job.reply:
        job.reply = reply
        job.seconds["compress"] = perf_counter() - start


def handle(handler: EisenServingHandler, job: Job) -> None:
    """Take whatever an overridden ``handle`` gives: bytes, JSON text, or a dict of outputs."""
    result: Any = handler.handle(job.data)[0]
    if isinstance(result, dict):
        job.data = result
        encode(handler, job)
    elif isinstance(result, str):
        job.reply = Reply((result.encode("utf-8"),), headers={"Content-Type": JSON_TYPE})
    else:
        body = result if isinstance(result, bytes) else bytes(result)
        job.reply = Reply((body,), headers=getattr(result, "headers", {}))
