"""Keep processes of a server running: start them, watch them, replace those that end.

A process has a pipe, its *link*, on which it says what becomes of it, a JSON object a line:
``{"ready": ...}``, ``{"refused": ...}``, ``{"hung": ...}``, ``{"alive": ..., "answered": ...}`` for
as long as it lives, and ``{"say": ...}`` with a line for the operator.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from eisen_deploy.serving.engines.engine import NotReady, Patience, Setup
from eisen_deploy.serving.engines.machine import is_running
from eisen_deploy.serving.engines.processes.guarded import GuardedProcess
from eisen_deploy.serving.runtime._shared.printable import clean

_POLL = 0.1
# Seconds after which a worker that is gone is not waited for any more.
_DESERTED = 2.0
# A worker that ends sooner, and before it has answered anything, is taken for one that fails.
_YOUNG = 60.0


class Supervision(ABC):
    """Processes that serve together.

    :param title: what operators call what is served.
    :param proof: what is known once all are ready.
    :param count: of the processes.
    :param grace: seconds that each has to end, once it is asked to.
    :param patience: with their starts.
    :param variables: further environment variables of the processes.
    """

    #: What operators call a process, and the file for all that is printed.
    kind: str
    log_name: str

    def __init__(
        self,
        setup: Setup,
        title: str,
        proof: str,
        *,
        count: int,
        grace: float,
        patience: Patience,
        variables: Mapping[str, str],
    ) -> None:
        self._setup, self._title, self._proof, self._grace = setup, title, proof, grace
        self._variables, self._say, self._patience = variables, setup.say, patience
        self._workers = [Worker(index, self._say) for index in range(count)]

    @abstractmethod
    def _prepare(self) -> None:
        """Lay out what the processes are started from, before they are and where one refused it.

        :raises NotReady: if that cannot be done.
        """

    @abstractmethod
    def _make_command(self, worker: Worker, link: int) -> tuple[Sequence[str], Sequence[int]]:
        """Return what starts a process, and the descriptors that it inherits beside its link.

        :param link: the descriptor on which it says what becomes of it.
        """

    @property
    def log_path(self) -> Path:
        """Where everything that the processes print goes."""
        return self._setup.folder / self.log_name

    def start(self) -> None:
        """Start all workers and wait until each has loaded the model and predicted its sample.

        :raises NotReady: if one does not load, or ends.
        """
        began = time.monotonic()
        self._prepare()
        for worker in self._workers:
            self._start(worker)
        while not all(worker.is_ready for worker in self._workers):
            for worker in self._workers:
                worker.read()
                if (problem := self._find_problem(worker)) is not None:
                    raise NotReady([problem])
            time.sleep(_POLL / 2)
        seconds = time.monotonic() - began
        self._say(f"{self._title}: ready, {self._proof}, in {seconds:.1f} s")

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

    def _watch(self, worker: Worker) -> None:
        """Look whether a worker that serves has ended, or has to be."""
        if worker.is_silent(self._patience.silence):
            self._say(
                f"{self.kind} {worker.pid} has given no sign of life for "
                f"{self._patience.silence:g} s: it is ended"
            )
            worker.process.kill()
            worker.heard = time.monotonic()
        if not worker.process.is_running or worker.is_deserted:
            said = f"{self.kind} {worker.pid} ended: {worker.explain_end()}; starting again"
            self._say(f"{self._title}: {said}")
            worker.end(force=True)
            worker.note_end()
            if worker.useless > 1:
                pause = self._patience.pause_after(worker.useless - 1)
                self._say(
                    f"{self._title}: {worker.useless} times it answered nothing before it ended; "
                    f"next start in {pause:.0f} s"
                )
                worker.due += pause

    def _replace(self, worker: Worker) -> None:
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
            said = f"{self.kind} {worker.pid} serves again, after {seconds:.1f} s"
            self._say(f"{self._title}: {said}")

    def _put_off(self, worker: Worker, problem: str) -> None:
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

    def _restart(self, worker: Worker) -> str | None:
        """Start a worker again; return why that cannot be done."""
        try:
            if worker.refusal is not None:  # what was unpacked has changed, or a device is gone
                self._prepare()
        except NotReady as error:
            return str(error)
        self._start(worker)
        return None

    def _start(self, worker: Worker) -> None:
        reader, writer = os.pipe()
        for end in (reader, writer):  # a worker does not wait for who does not read
            os.set_blocking(end, False)
        command, inherited = self._make_command(worker, writer)
        process = GuardedProcess(
            command, self.log_path, grace=self._grace, disposable=self._setup.private
        )
        try:
            process.start(self._setup.folder, self._environment(), [writer, *inherited])
        finally:
            os.close(writer)
        worker.begin(process, reader)

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self._variables, "TMPDIR": str(self._setup.private)}
        environment.pop("PYTHONPATH", None)
        return environment

    def _find_problem(self, worker: Worker) -> str | None:
        """Return why a worker that was started will not be ready, if that is so."""
        name, seconds = self._title, self._patience.startup
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

    def _explain_early_end(self, worker: Worker) -> str:
        said = f"its {self.kind} ended: {worker.explain_end()}"
        return f"{self._title} did not load: {said}; {self.log_path} has what it printed"


@dataclass
class Worker:
    """One process, and what it has said.

    :param say: is called with each line that it has for the operator.
    :param ended: when it ended, while it does not serve again.
    :param failures: of starting it again since then; ``due``: when that is tried next.
    :param useless: how often in a row it ended soon, and before it had answered anything.
    """

    index: int
    say: Callable[[str], None] = print
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
        if "say" in said:
            self.say(clean(str(said["say"])))
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
