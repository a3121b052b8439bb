"""Wait until every model has predicted, or say by the model's own words why it does not."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from eisen_deploy.serving.engines.archives import Archive
from eisen_deploy.serving.engines.machine import killed_for_memory
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_TIMEOUT

from . import logs
from .calls import Answer, Server
from .launcher import LaunchFailed, TorchServe
from .logs import Life

_POLL = 0.25
_TELL_EVERY = 15.0
_TRACE_SECONDS = 2.0
# A worker that is killed once may be unlucky; TorchServe starts it again.
_SILENT_DEATHS = 2
_ODD_ANSWERS = 3
_LOG_BYTES = 4 * 2**20


class NotReady(LaunchFailed):
    """Models did not load, or the server ended.

    :param problems: one sentence for each, with the model's name.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Log:
    """What was written into log files since this was made."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._starts = {path: path.stat().st_size if path.exists() else 0 for path in paths}

    def text(self) -> str:
        """Return it; of a file that was rotated or is very large, the end."""
        found = (_from(path, start) for path, start in self._starts.items())
        return b"\n".join(found).decode("utf-8", "replace")


def _from(path: Path, start: int) -> bytes:
    """Return what stands in a file from a position on; all of it if it was rotated since."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - _LOG_BYTES))
            return file.read()
    except OSError:
        return b""


class _Model:
    """One model that is waited for."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.answer: Future[Answer] | None = None
        self.odd = 0
        self.suspicion: str | None = None

    def ask(self, calls: Server, pool: ThreadPoolExecutor, timeout: float) -> None:
        """Send the sample, or ask for the metadata, once a worker says that it has loaded."""
        url_part = self.archive.url_part
        if any(worker["status"] == "READY" for worker in calls.workers(url_part)):
            body, headers = self.archive.sample or (b"", {})
            self.answer = pool.submit(calls.predict, url_part, body, headers, timeout=timeout)

    def has_answered(self) -> bool:
        """Whether the answer came and is good."""
        if self.answer is None or not self.answer.done():
            return False
        answer = self.answer.result()
        if answer.status != 200:
            self.answer, self.odd = None, self.odd + 1
            self.suspicion = f"its sample is answered {answer.status}: {_message(answer)}"
            if not _is_of_handler(answer) and self.odd < _ODD_ANSWERS:
                self.suspicion = None
        return answer.status == 200

    def cause(self, text: str) -> str | None:
        """Return why it will not load, if the log tells it for sure, or an answer has told it."""
        unloaded = logs.unloaded(text, self.archive.store_name)
        if unloaded or self.suspicion:
            return unloaded or self.suspicion
        lives = logs.lives(text, self.archive.worker_name)
        for life in lives:
            if (said := logs.refusal_of(life)) is not None:
                return said
        if logs.was_too_slow(text, self.archive.worker_name):
            limit = self.archive.serving.startup_timeout or STOCK_TIMEOUT
            return (
                f"its worker was still loading after {limit} s, and TorchServe ended it: its own "
                "serving option startup_timeout gives it longer"
            )
        dead = [life for life in lives if not _is_alive(life, lives)]
        for life in dead:
            if (said := logs.cause(life)) is not None:
                return said
        return _silent(len(dead)) if len(dead) >= _SILENT_DEATHS else None


def wait(
    server: TorchServe,
    calls: Server,
    archives: Sequence[Archive],
    log: Log,
    *,
    seconds: float,
    say: Callable[[str], None],
) -> None:
    """Wait until every model has predicted its sample; without one, has told its metadata.

    The handler has compared the sample's reply with the recorded one before its worker is ready.

    :param log: made before the server was started.
    :param seconds: after which it is given up.
    :param say: is called with a line for each step.
    :raises NotReady: with each model that does not load, as soon as one is known.
    """
    start = told = time.monotonic()
    waiting = [_Model(archive) for archive in archives]
    with _pool(len(waiting)) as pool:
        while waiting:
            passed = time.monotonic() - start
            _raise_if_ended(server, log)
            for model in [model for model in waiting if model.has_answered()]:
                waiting.remove(model)
                say(f"{model.archive.url_part}: ready, {_proof(model)}, in {passed:.1f} s")
            _raise_if_known(waiting, log)
            if passed > seconds:
                raise NotReady([_overdue(model, log, seconds) for model in waiting])
            if time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
                say(f"waiting for {_names(waiting)}: {passed:.0f} s of {seconds:.0f}")
            for model in waiting:
                if model.answer is None:
                    model.ask(calls, pool, seconds - passed + 1)
            time.sleep(_POLL)


@contextlib.contextmanager
def _pool(size: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that are not waited for: their calls end with the server."""
    pool = ThreadPoolExecutor(size)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _proof(model: _Model) -> str:
    return "sample predicted" if model.archive.sample else "metadata told (it has no sample)"


def _names(waiting: Sequence[_Model]) -> str:
    return ", ".join(model.archive.url_part for model in waiting)


def _raise_if_ended(server: TorchServe, log: Log) -> None:
    if not server.processes():
        raise NotReady([f"TorchServe ended: {ending(server, log.text())}"])


def ending(server: TorchServe, text: str) -> str:
    """Return why a server that ended did so: by a signal, or by what it wrote last."""
    status = server.status or 0
    if status > 128:
        return f"it was killed by {_signal_name(status - 128)}{_for_memory()}"
    said = logs.of_server(text)
    return said or f"exit status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _raise_if_known(waiting: Sequence[_Model], log: Log) -> None:
    """Raise what is known; read once more first: a worker may be in the middle of saying it."""
    text = log.text()
    if any(model.cause(text) for model in waiting):
        time.sleep(_POLL)
        text = log.text()
        causes = [(model.archive.url_part, model.cause(text)) for model in waiting]
        raise NotReady([f"{name} did not load: {cause}" for name, cause in causes if cause])


def _is_alive(life: Life, lives: Sequence[Life]) -> bool:
    """Whether a process is there; one that has not said its number is, until a next one begins."""
    if any(other is not life and other.thread == life.thread for other in _after(life, lives)):
        return False
    if life.pid is None:
        # It ends before it has said its number if it lacks what TorchServe's worker imports.
        return logs.cause(life) is None
    return is_running(life.pid)


def is_running(pid: int) -> bool:
    """Whether there is a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _after(life: Life, lives: Sequence[Life]) -> Sequence[Life]:
    return lives[list(map(id, lives)).index(id(life)) + 1 :]


def _silent(count: int) -> str:
    return (
        f"its worker ended {count} times without a word: it was killed, or ended itself (os._exit)"
        f"{_for_memory()}"
    )


def _for_memory() -> str:
    count = killed_for_memory()
    if not count:
        return ""
    return f"; the kernel has killed {count} processes of this container for want of memory"


def _overdue(model: _Model, log: Log, seconds: float) -> str:
    """Say that a model is not ready in time, and where its worker is."""
    name = model.archive.url_part
    late = f"{name} did not load: it neither answered nor failed within {seconds:.0f} s"
    if model.answer is not None:
        return f"{late}: it is loaded, but its sample is not answered"
    text = log.text()
    lives = logs.lives(text, model.archive.worker_name)
    alive = [life for life in lives if life.pid is not None and _is_alive(life, lives)]
    if not alive:
        said = logs.of_server(text) or "nothing"
        return f"{late}: {'its last worker is gone' if lives else 'no worker has begun'}; {said}"
    where = _where(alive[-1], model, log)
    return f"{late}: its worker is still loading" + (f", at {where}" if where else "")


def _where(life: Life, model: _Model, log: Log) -> str:
    """Abort a worker, so that faulthandler says where it is; empty if it does not."""
    if life.pid is None:
        return ""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(life.pid, signal.SIGABRT)
    until = time.monotonic() + _TRACE_SECONDS
    while time.monotonic() < until:
        for found in logs.lives(log.text(), model.archive.worker_name):
            if found.pid == life.pid and (where := logs.stack(found)):
                return ", called from ".join(where)
        time.sleep(_POLL)
    return ""


def _message(answer: Answer) -> str:
    if answer.status == 413:
        return "it is larger than --max-body"
    try:
        return str(answer.json["message"])
    except (LookupError, TypeError):
        return "no reason is given"


def _is_of_handler(answer: Answer) -> bool:
    """Whether the handler itself has answered so, which it would again."""
    return answer.status == 413 or b'"error"' in answer.body
