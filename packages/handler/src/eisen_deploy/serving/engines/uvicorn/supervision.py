"""Keep one archive served by uvicorn: start its workers, watch them, replace those that end.

All workers listen on the same socket, which stays open here: a connection that comes while one of
them is replaced waits for it, or is taken by another one.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from eisen_deploy.serving.engines.engine import NotReady, Setup
from eisen_deploy.serving.engines.guarded import GuardedProcess
from eisen_deploy.serving.engines.machine import is_running
from eisen_deploy.serving.engines.served_archives import (
    BadArchives,
    ServedArchive,
    check_copies,
)
from eisen_deploy.serving.runtime._shared.archive import zips
from eisen_deploy.serving.runtime._shared.errors import ContractError
from eisen_deploy.serving.runtime._shared.printable import clean

from .work import WORKERS_LOG, Work

_POLL = 0.1
# Seconds after which a worker that is gone is not waited for any more.
_DESERTED = 2.0
# A worker that ends sooner, and before it has answered anything, is taken for one that fails.
_YOUNG = 60.0


class Supervision:
    """One archive on uvicorn.

    :param listener: the socket on which all workers listen.
    :param work: what each worker is told; its folder, link and GPU are filled in here.
    :param variables: further environment variables of the workers.
    """

    def __init__(
        self,
        archive: ServedArchive,
        listener: socket.socket,
        work: Work,
        setup: Setup,
        *,
        variables: Mapping[str, str],
    ) -> None:
        self._archive, self._listener, self._work = archive, listener, work
        self._setup, self._variables, self._say = setup, variables, setup.say
        self._patience = setup.patience.for_archive(archive.serving)
        self._unpacked: Path | None = None
        self._workers = [_Worker(index) for index in range(work.workers)]

    @property
    def log_path(self) -> Path:
        """Where everything that the workers print goes."""
        return self._setup.folder / WORKERS_LOG

    def start(self) -> None:
        """Start all workers and wait until each has loaded the model and predicted its sample.

        :raises NotReady: if one does not load, or ends.
        """
        began = time.monotonic()
        self._unpack()
        for worker in self._workers:
            self._start(worker)
        while not all(worker.is_ready for worker in self._workers):
            for worker in self._workers:
                worker.read()
                if (problem := self._find_problem(worker)) is not None:
                    raise NotReady([problem])
            time.sleep(_POLL / 2)
        proof = "sample predicted" if self._archive.sample else "model loaded (it has no sample)"
        seconds = time.monotonic() - began
        self._say(f"{self._archive.url_part}: ready, {proof}, in {seconds:.1f} s")

    def keep(self) -> NoReturn:
        """Serve, until an exception ends it; a worker that ends is started again.

        :raises NotReady: if one cannot be started any more.
        """
        looked = time.monotonic()
        while True:
            if time.monotonic() - looked > self._patience.silence / 2:  # all of it was frozen
                for worker in self._workers:
                    worker.heard = time.monotonic()
            looked = time.monotonic()
            for worker in self._workers:
                worker.read()
                if worker.ended is None:
                    self._watch(worker)
                else:
                    self._replace(worker)
            time.sleep(_POLL)

    def stop(self, *, force: bool = False) -> None:
        """End all workers: each once the requests that it has are answered, or at once by force."""
        for worker in self._workers:
            worker.process.kill() if force else worker.process.ask_to_end()
        for worker in self._workers:
            worker.end(force=force)

    def kill(self) -> None:
        """End all workers at once; :meth:`stop` still has to be called."""
        for worker in self._workers:
            worker.process.kill()

    def _watch(self, worker: _Worker) -> None:
        """Look whether a worker that serves has ended, or has to be."""
        if worker.is_silent(self._patience.silence):
            self._say(
                f"worker {worker.pid} has given no sign of life for "
                f"{self._patience.silence:g} s: it is ended"
            )
            worker.process.kill()
            worker.heard = time.monotonic()
        if not worker.process.is_running or worker.is_deserted:
            name, why = self._archive.url_part, worker.explain_end()
            self._say(f"{name}: worker {worker.pid} ended: {why}; starting again")
            worker.end(force=True)
            worker.note_end()
            if worker.useless > 1:
                pause = self._patience.pause_after(worker.useless - 1)
                self._say(
                    f"{name}: {worker.useless} times it answered nothing before it ended; "
                    f"next start in {pause:.0f} s"
                )
                worker.due += pause

    def _replace(self, worker: _Worker) -> None:
        """Take a worker that has ended one step nearer to serving again.

        :raises NotReady: if it has failed too often.
        """
        if worker.is_starting:
            problem = self._find_problem(worker)
        elif time.monotonic() >= worker.due:
            problem = self._restart(worker)
        else:
            problem = None
        if problem is not None:
            self._put_off(worker, problem)
        if worker.is_ready and worker.ended is not None:
            seconds = time.monotonic() - worker.ended
            worker.ended = None
            name = self._archive.url_part
            self._say(f"{name}: worker {worker.pid} serves again, after {seconds:.1f} s")

    def _put_off(self, worker: _Worker, problem: str) -> None:
        """Try again later to start a worker.

        :raises NotReady: if it has failed too often, and no other worker serves.
        """
        worker.end(force=True)
        worker.is_starting = False
        worker.failures += 1
        left = self._patience.starts - worker.failures
        serving = sum(each.is_ready for each in self._workers)
        if left <= 0 and not serving:
            raise NotReady([problem])
        pause = self._patience.pause_after(worker.failures)
        rest = f"{left} are left" if left > 0 else f"others serve: {serving}"
        self._say(f"{problem}; next try in {pause:.0f} s, {rest}")
        worker.due = time.monotonic() + pause

    def _restart(self, worker: _Worker) -> str | None:
        """Start a worker again; return why that cannot be done."""
        try:
            if worker.refusal is not None:  # what was unpacked has changed, or a device is gone
                self._unpack()
        except NotReady as error:
            return str(error)
        self._start(worker)
        return None

    def _unpack(self) -> None:
        """Unpack the private copy into a new folder: running workers may import from the old one.

        :raises NotReady: if it is not what was verified.
        """
        is_first = self._unpacked is None
        self._unpacked = Path(tempfile.mkdtemp(prefix="unpacked-", dir=self._setup.private))
        assert self._archive.copy is not None  # noqa: S101 - made by who serves
        try:
            if not is_first:  # it has just been verified
                check_copies([self._archive])
            zips.unpack(self._archive.copy, self._unpacked)
        except BadArchives as error:
            raise NotReady(error.problems) from None
        except ContractError as error:
            raise NotReady([str(error)]) from None
        except OSError as error:
            raise NotReady([f"cannot be unpacked to {self._unpacked}: {error.strerror}"]) from None

    def _start(self, worker: _Worker) -> None:
        reader, writer = os.pipe()
        for end in (reader, writer):  # a worker does not wait for who does not read
            os.set_blocking(end, False)
        gpu_id = worker.index % self._setup.gpus if self._setup.gpus else None
        work = replace(
            self._work,
            folder=str(self._unpacked),
            link=writer,
            listener=self._listener.fileno(),
            index=worker.index,
            gpu_id=gpu_id,
        )
        command = [self._setup.python, "-m", f"{__package__}.worker", work.to_json()]
        process = GuardedProcess(
            command,
            self.log_path,
            grace=self._work.settings.find_response_timeout(self._archive.serving) + 10.0,
            disposable=self._setup.private,
        )
        try:
            process.start(
                self._setup.folder, self._environment(), [writer, self._listener.fileno()]
            )
        finally:
            os.close(writer)
        worker.begin(process, reader)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self._variables, "TMPDIR": str(self._setup.private)}
        environment.pop("PYTHONPATH", None)
        return environment

    def _find_problem(self, worker: _Worker) -> str | None:
        """Return why a worker that was started will not be ready, if that is so."""
        name, seconds = self._archive.url_part, self._patience.startup
        if worker.is_ready:
            return None
        if worker.refusal is not None:
            return f"{name} did not load: {worker.refusal}"
        if not worker.process.is_running:
            return self._explain_early_end(worker)
        is_late = time.monotonic() - worker.heard > seconds
        return (
            f"{name} did not load: not in {seconds:g} s: {self._patience.longer}"
            if is_late
            else None
        )

    def _explain_early_end(self, worker: _Worker) -> str:
        name, why = self._archive.url_part, worker.explain_end()
        return f"{name} did not load: its worker ended: {why}; {self.log_path} has what it printed"


@dataclass
class _Worker:
    """One worker process, and what it has said.

    :param ended: when it ended, while it does not serve again.
    :param failures: of starting it again since then; ``due``: when that is tried next.
    :param useless: how often in a row it ended soon, and before it had answered anything.
    """

    index: int
    process: GuardedProcess = field(default_factory=lambda: GuardedProcess([], Path(), grace=0))
    is_starting: bool = False
    is_ready: bool = False
    refusal: str | None = None
    is_hung: bool = False
    heard: float = 0.0
    pid: int = 0
    ended: float | None = None
    failures: int = 0
    due: float = 0.0
    useless: int = 0
    _began: float = 0.0
    _has_answered: bool = False
    _link: int = -1
    _rest: bytes = b""

    def begin(self, process: GuardedProcess, link: int) -> None:
        """Take over a process that has just been started."""
        self.process, self._link, self._rest = process, link, b""
        self.is_starting, self.is_ready, self.refusal, self.is_hung = True, False, None, False
        self._has_answered, self.pid = False, process.group
        self.heard = self._began = time.monotonic()

    def read(self) -> None:
        """Take note of what it has said."""
        if self._link < 0:
            return
        try:
            while said := os.read(self._link, 2**16):
                *lines, self._rest = (self._rest + said).split(b"\n")
                for line in lines:
                    self._note(json.loads(line))
        except BlockingIOError:
            return

    def _note(self, said: Mapping[str, object]) -> None:
        self.heard = time.monotonic()
        self.is_ready = self.is_ready or "ready" in said
        self.is_hung = self.is_hung or "hung" in said
        self._has_answered = self._has_answered or bool(said.get("answered"))
        if "ready" in said:
            self._began = self.heard
        if "refused" in said:
            self.refusal = clean(str(said["refused"]))

    def note_end(self) -> None:
        """Take note that it ended, although it was ready."""
        self.ended = self.due = now = time.monotonic()
        is_useless = not self._has_answered and now - self._began < _YOUNG
        self.useless = self.useless + 1 if is_useless else 0
        self.failures, self.is_ready, self.is_starting = 0, False, False

    def is_silent(self, seconds: float) -> bool:
        """Whether it has given no sign of life for so many seconds, although it was ready."""
        return self.is_ready and time.monotonic() - self.heard > seconds

    @property
    def is_deserted(self) -> bool:
        """Whether only processes are left that it has started."""
        return self.is_silent(_DESERTED) and not is_running(self.pid)

    def explain_end(self) -> str:
        """Say why it ended, as far as that is known."""
        self.read()
        if self.is_hung:
            return "its model did not answer in time"
        status = self.process.status or 0
        return self.refusal or (
            f"signal {status - 128}" if status > 128 else f"exit status {status}"
        )

    def end(self, *, force: bool) -> None:
        """End it, and all that it has started."""
        self.process.stop(force=force)
        if self._link >= 0:
            os.close(self._link)
            self._link = -1
