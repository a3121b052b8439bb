"""A batch of requests through the stages, each request answered for itself.

After the stages (:mod:`.stages`) a reply is compressed where that pays. Whatever one request does
wrong, or makes a transform or the model raise, becomes the reply to that request alone. So do a
reply that is larger than the server sends, and what takes longer than the server waits.

One request goes through all stages, and its reply gets memory of its own, before a transform or
the model sees the next one: user code may use its buffers again, and may keep from one stage to
the next what it likes. Only where packaging has proven that this does not matter, a whole batch
is pre-processed first, and shares a forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from ..archive.outputs import copy_arrays
from ..handler import EisenServingHandler, pick_stages, runs_user_code
from ..messages import Reply, Request
from . import batching
from .bodies import compression
from .budget import Budget
from .counters import CountedRequest, Counters
from .interrupts import AlarmInterrupt, Interrupt, Interrupted
from .jobs import Job
from .limits import Limits
from .stages import Stage, decode, inference, post_process, pre_process


def answer(
    handler: EisenServingHandler,
    requests: Sequence[Request],
    limits: Limits = Limits(),  # noqa: B008 - it is immutable
    counters: Counters | None = None,
    interrupt: Interrupt | None = None,
    *,
    show_errors: bool = False,
) -> list[Reply]:
    """Answer a batch, as :meth:`~..session.InferenceSession.answer` does.

    :param handler: an initialised handler.
    :param interrupt: what ends a stage whose time is over; by default an alarm.
    :param show_errors: whether replies and the log have the texts of errors of user code.
    """
    with Budget(limits.seconds, interrupt or AlarmInterrupt()) as budget:
        jobs = [Job(request, limits.request, show_errors=show_errors) for request in requests]
        batch = _Batch(handler, jobs, limits, budget)
        replies = batch.answer()
    if counters is not None:
        outcomes = [
            CountedRequest(job.outcome, job.request.size, reply.size)
            for job, reply in zip(batch.jobs, replies, strict=True)
        ]
        counters.count(outcomes, batch.total_seconds())
    return replies


@dataclass
class _Batch:
    """Requests that are answered together, within one budget of time."""

    handler: EisenServingHandler
    jobs: Sequence[Job]
    limits: Limits
    budget: Budget
    common_seconds: float = 0.0

    def answer(self) -> list[Reply]:
        """Return the reply to each request."""
        left = pick_stages(self.handler)
        if len(self.jobs) > 1 and batching.find_problem(self.handler) is None:
            for job in self.jobs:
                self._run(job, decode, pre_process)
                if runs_user_code(self.handler, pre_process):
                    job.data = copy_arrays(job.data)
            self._infer_together()
            left = left[left.index(inference) :]
        return [self._finish(job, left) for job in self.jobs]

    def _finish(self, job: Job, left: Sequence[Stage]) -> Reply:
        """Take a request through its last stages to a reply that later ones cannot change."""
        self._run(job, *left)
        reply = self._make_reply(job)
        is_last = job is self.jobs[-1]
        return reply if is_last or self._is_out_of_reach(job) else reply.copy_buffers()

    def _is_out_of_reach(self, job: Job) -> bool:
        """Whether what a reply is made of has never been in the hands of user code."""
        return job.inferred and not any(
            runs_user_code(self.handler, transform) for transform in (pre_process, post_process)
        )

    def total_seconds(self) -> dict[str, float]:
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
        """Do one stage's work for one request; an error that it raises is the reply."""
        start, name, entered = perf_counter(), stage.__name__, False
        try:
            self.budget.check()
            entered = True
            job.begun = job.begun or runs_user_code(self.handler, stage)
            self.budget.run(stage, self.handler, job)
        except Interrupted:
            job.fail(name, self.limits.make_time_error(name, begun=job.begun or entered))
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
                job.fail("inference", self.limits.make_time_error("inference", begun=True))
        self.common_seconds = perf_counter() - start
        for index, outputs in inferred.items():
            job = self.jobs[index]
            job.data, job.inferred, job.begun = outputs, True, True
            job.seconds["inference"] = self.common_seconds

    def _make_reply(self, job: Job) -> Reply:
        """Return the reply to a request: compressed where that pays, and not over the limit."""
        try:
            if not self.budget.is_spent:
                compress(job)
            self.limits.check(job.finished)
        except Exception as error:  # noqa: BLE001 - one request must not harm the others
            job.fail("compress", error)
        reply = job.finished
        return replace(reply, headers={**self._write_headers(job), **reply.headers})

    def _write_headers(self, job: Job) -> dict[str, str]:
        archive = self.handler.archive
        times = [f"{stage};dur={1000 * spent:.3f}" for stage, spent in job.seconds.items()]
        return {
            "Eisen-Model-Name": archive.name,
            "Eisen-Model-Version": archive.version,
            "Eisen-Archive-Digest": f"sha-256={archive.digest}",
            "Server-Timing": ", ".join([*times, f'batch;desc="{len(self.jobs)}"']),
        }


def compress(job: Job) -> None:
    """Compress the reply if the client takes that and it pays; its time is noted if it was done."""
    start = perf_counter()
    accepted = job.request.headers.get("accept-encoding", "")
    reply = compression.compress(job.finished, accepted)
    if reply is not job.reply:
        job.reply = reply
        job.seconds["compress"] = perf_counter() - start
