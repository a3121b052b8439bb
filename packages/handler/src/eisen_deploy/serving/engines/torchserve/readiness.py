"""Wait until every model has predicted, or say in the model's own words why it has not."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from eisen_deploy.serving.engines.engine import NotReady
from eisen_deploy.serving.engines.machine import count_killed_for_memory
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_TIMEOUT

from . import logs
from .calls import Answer, ServerCalls
from .launcher import TorchServe
from .logs import Log
from .worker_reports import WorkerReport, WorkerReports

_POLL = 0.25
_SAY_EVERY = 15.0
_TRACE_SECONDS = 2.0
# A worker that is killed once may be unlucky; TorchServe starts it again.
_SILENT_DEATHS = 2
_ODD_ANSWERS = 3


class _Model:
    """One model that is waited for."""

    def __init__(self, archive: ServedArchive) -> None:
        self.archive = archive
        self.answer: Future[Answer] | None = None
        self.odd = 0
        self.suspicion: str | None = None

    def ask(self, calls: ServerCalls, pool: ThreadPoolExecutor, timeout: float) -> None:
        """Send the sample, or ask for the metadata, once a worker says that it has loaded."""
        url_part = self.archive.url_part
        if any(worker.is_ready for worker in calls.workers(url_part)):
            body, headers = self.archive.sample or (b"", {})
            self.answer = pool.submit(calls.predict, url_part, body, headers, timeout=timeout)

    def has_answered(self) -> bool:
        """Whether there is an answer, and a good one."""
        if self.answer is None or not self.answer.done():
            return False
        answer = self.answer.result()
        if answer.status != 200:
            self.answer, self.odd = None, self.odd + 1
            self.suspicion = f"its sample is answered {answer.status}: {_read_message(answer)}"
            # From the handler itself, which would answer the same again.
            is_final = answer.status == 413 or b'"error"' in answer.body
            if not is_final and self.odd < _ODD_ANSWERS:
                self.suspicion = None
        return answer.status == 200

    def explain_failure(self, text: str, reports: WorkerReports) -> str | None:
        """Return why it will not load, if its workers, the log or an answer say it for sure.

        :param text: of the log.
        """
        unloaded = logs.explain_unloaded(text, self.archive.store_name)
        if unloaded or self.suspicion:
            return unloaded or self.suspicion
        workers = reports.read(self.archive)
        for worker in workers:
            if (cause := worker.explain_end()) is not None:
                return cause
        if logs.was_too_slow(text, self.archive.worker_name):
            limit = self.archive.serving.startup_timeout or STOCK_TIMEOUT
            return (
                f"its worker was still loading after {limit} s, and TorchServe ended it: its own "
                "serving option startup_timeout gives it longer"
            )
        if not workers:  # what is printed then is not the model's, which may go on
            return logs.find_exception(text, self.archive.worker_name)
        dead = sum(not worker.is_running for worker in workers)
        if dead < _SILENT_DEATHS:
            return None
        return (
            f"its worker ended {dead} times without a word: it was killed, or ended itself "
            f"(os._exit){_explain_memory()}"
        )


def wait_ready(
    server: TorchServe,
    calls: ServerCalls,
    archives: Sequence[ServedArchive],
    log: Log,
    *,
    seconds: float,
    say: Callable[[str], None],
) -> None:
    """Wait until every model has predicted its sample; without one, answered its metadata.

    The handler has compared the sample's reply with the recorded one before its worker is ready.

    :param log: made before the server was started.
    :param seconds: after which it is given up.
    :param say: is called with a line for each step.
    :raises NotReady: with each model that does not load, as soon as one is known.
    """
    start = said = time.monotonic()
    waiting = [_Model(archive) for archive in archives]
    with contextlib.ExitStack() as at_end:
        pool = ThreadPoolExecutor(len(waiting))
        # Its threads are not waited for: their calls end with the server.
        at_end.callback(pool.shutdown, wait=False, cancel_futures=True)
        while waiting:
            passed = time.monotonic() - start
            if not server.processes():
                raise NotReady([f"TorchServe ended: {explain_end(server, log.text())}"])
            for model in [model for model in waiting if model.has_answered()]:
                waiting.remove(model)
                has_sample = model.archive.sample is not None
                proof = "sample predicted" if has_sample else "metadata answered (it has no sample)"
                say(f"{model.archive.url_part}: ready, {proof}, in {passed:.1f} s")
            _raise_if_known(waiting, log, server.reports)
            if passed > seconds:
                raise NotReady([_explain_delay(each, log, server, seconds) for each in waiting])
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                names = ", ".join(model.archive.url_part for model in waiting)
                say(f"waiting for {names}: {passed:.0f} s of {seconds:.0f}")
            for model in waiting:
                if model.answer is None:
                    model.ask(calls, pool, seconds - passed + 1)
            time.sleep(_POLL)


def explain_end(server: TorchServe, text: str) -> str:
    """Return why a server that ended did so: by a signal, or by what it wrote last."""
    status = server.status or 0
    if status > 128:
        return f"it was killed by {_name_signal(status - 128)}{_explain_memory()}"
    return logs.explain_end(text) or f"exit status {status}"


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _raise_if_known(waiting: Sequence[_Model], log: Log, reports: WorkerReports) -> None:
    """Raise what is known; read once more first: a worker may be in the middle of saying it."""
    if any(model.explain_failure(log.text(), reports) for model in waiting):
        time.sleep(_POLL)
        text = log.text()
        causes = {each.archive.url_part: each.explain_failure(text, reports) for each in waiting}
        raise NotReady([f"{name} did not load: {cause}" for name, cause in causes.items() if cause])


def _explain_memory() -> str:
    count = count_killed_for_memory()
    if not count:
        return ""
    return f"; the kernel has killed {count} processes of this container for want of memory"


def _explain_delay(model: _Model, log: Log, server: TorchServe, seconds: float) -> str:
    """Say that a model is not ready in time, and where its worker is."""
    name = model.archive.url_part
    late = f"{name} did not load: it neither answered nor failed within {seconds:.0f} s"
    if model.answer is not None:
        return f"{late}: it is loaded, but its sample is not answered"
    workers = server.reports.read(model.archive)
    alive = [worker for worker in workers if worker.is_running]
    if not alive:
        said = logs.explain_end(log.text()) or "nothing"
        return f"{late}: {'its last worker is gone' if workers else 'no worker has begun'}; {said}"
    place = _abort(alive[-1], server.reports)
    return f"{late}: its worker is still loading" + (f", at {place}" if place else "")


def _abort(worker: WorkerReport, reports: WorkerReports) -> str:
    """Abort a worker, so that Python says where it is; empty if it does not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(worker.pid, signal.SIGABRT)
    until = time.monotonic() + _TRACE_SECONDS
    while time.monotonic() < until:
        for found in reports.read():
            if found.pid == worker.pid and (place := found.find_place()):
                return ", called from ".join(place)
        time.sleep(_POLL)
    return ""


def _read_message(answer: Answer) -> str:
    if answer.status == 413:
        return "it is larger than --max-body"
    try:
        return str(answer.json["message"])
    except (LookupError, TypeError):
        return "no reason is given"
