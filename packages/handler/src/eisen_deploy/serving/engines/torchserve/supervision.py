"""Keep archives served: start TorchServe, watch it and its workers, start it again when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from eisen_deploy.serving.engines.engine import NotReady, Patience
from eisen_deploy.serving.engines.machine import is_running
from eisen_deploy.serving.engines.served_archives import BadArchives, ServedArchive, check_copies
from eisen_deploy.serving.runtime.torchserve.load_report import NOT_VERIFIED

from .calls import ServerCalls
from .launcher import TorchServe
from .logs import Log
from .readiness import explain_end, wait_ready
from .worker_reports import WorkerReports

_POLL = 0.5
# So many looks after which workers that were added meanwhile are noted, too.
_LOOKS = 20
# TorchServe tries for five minutes.
_GIVEN_UP = 330.0


@dataclass
class Supervision:
    """Archives on one TorchServe.

    :param log_paths: the files in which the server and its workers write.
    :param say: is called with a line for each thing that happens.
    """

    server: TorchServe
    calls: ServerCalls
    archives: Sequence[ServedArchive]
    log_paths: Sequence[Path]
    _: KW_ONLY
    patience: Patience
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self._log = Log(self.log_paths)

    def start(self) -> None:
        """Start the server and wait until every model has predicted.

        :raises NotReady: if one does not load, or the server ends.
        """
        self._log = Log(self.log_paths)
        self.server.start()
        wait_ready(
            self.server,
            self.calls,
            self.archives,
            self._log,
            seconds=self.patience.startup,
            say=self.say,
        )
        # Before anybody hears that it serves: an end that comes at once is noticed, too.
        self._workers = _Workers(self.archives, self.calls, self.server.reports, self.say)
        self._workers.look()

    def keep(self, started: Callable[[], None]) -> None:
        """Serve, until an exception ends it; a server that ends is started again.

        :param started: is called when it serves again.
        :raises NotReady: if it cannot be started any more.
        """
        while True:
            self._watch()
            why = explain_end(self.server, self._log.text())
            self.say(f"TorchServe ended: {why}; starting again")
            began = time.monotonic()
            self._start_again()
            self.say(f"serving again, after {time.monotonic() - began:.1f} s")
            started()

    def _start_again(self) -> None:
        for failure in range(1, self.patience.starts + 1):
            self.server.stop()  # forgets the one that ended, and its keys
            try:
                check_copies(self.archives)
                self.start()
            except (BadArchives, NotReady) as error:
                if failure == self.patience.starts:
                    raise NotReady(error.problems) from None
                pause = self.patience.pause_after(failure)
                left = self.patience.starts - failure
                self.say(f"{error}; next try in {pause:.0f} s, {left} are left")
                self.server.stop()
                time.sleep(pause)
            else:
                return

    def _watch(self) -> None:
        """Watch until the server ends, and say which workers end and come back."""
        pulse = _Pulse(self.calls, self.patience.silence)
        while self.server.processes():
            if pulse.is_lost():
                silence = self.patience.silence
                self.say(f"TorchServe has answered nothing for {silence:.0f} s: it is ended")
                self.server.kill()
            self._workers.look()
            if (why := self._workers.explain_refusal()) is not None:
                self.say(f"{why}: TorchServe is ended, to unpack its verified archives again")
                self.server.kill()
            time.sleep(_POLL)


class _Pulse:
    """Whether the server answers. A Java that hangs, or only collects garbage, does not end."""

    def __init__(self, calls: ServerCalls, silence: float) -> None:
        self._calls, self._silence = calls, silence
        self._answered = self._asked = time.monotonic()

    def is_lost(self) -> bool:
        """Return whether it has not answered for too long; it is asked now and then."""
        if time.monotonic() - self._asked > self._silence / 6:
            if self._calls.is_answering(timeout=self._silence / 3):
                self._answered = time.monotonic()
            self._asked = time.monotonic()
        return time.monotonic() - self._answered > self._silence


@dataclass
class _Workers:
    """The processes of the models as they were last seen.

    The kernel knows whether one is there, and the management API which one took its place; a
    worker reports itself why it ended.
    """

    archives: Sequence[ServedArchive]
    calls: ServerCalls
    reports: WorkerReports
    say: Callable[[str], None]
    running: dict[int, ServedArchive] = field(default_factory=dict)
    ended: list[tuple[ServedArchive, float]] = field(default_factory=list)
    looks: int = 0

    def look(self) -> None:
        """Say what has changed."""
        if self.looks % _LOOKS == 0:
            missed = [archive for archive, _ in self.ended]  # whose new ones are named below
            for archive in self.archives:
                if archive not in missed:
                    self.running.update(dict.fromkeys(self._find_new(archive), archive))
        self.looks += 1
        for pid in [pid for pid in self.running if not is_running(pid)]:
            archive = self.running.pop(pid)
            self.ended.append((archive, time.monotonic()))
            self.say(f"{archive.url_part}: worker {pid} ended{self._explain_end(archive, pid)}")
        for archive, since in list(self.ended):
            if time.monotonic() - since > _GIVEN_UP:
                self.ended.remove((archive, since))
                self.say(f"{archive.url_part}: TorchServe has given up on a worker of it")
                continue
            for pid in self._find_new(archive)[:1]:
                self.ended.remove((archive, since))
                self.running[pid] = archive
                seconds = time.monotonic() - since
                self.say(f"{archive.url_part}: worker {pid} serves again, after {seconds:.1f} s")

    def explain_refusal(self) -> str | None:
        """Return which worker was not started again since unpacked files have changed, and why."""
        for archive, _ in self.ended:
            for report in self.reports.read(archive):
                if report.state == NOT_VERIFIED:
                    self.ended.clear()  # it is said once
                    return f"{archive.url_part}: {report.explain_end()}"
                if report.pid not in self.running and not report.is_running:
                    self.reports.remove(report.pid)
        return None

    def _find_new(self, archive: ServedArchive) -> list[int]:
        """Return the processes that are ready and not known yet."""
        workers = self.calls.workers(archive.url_part)
        ready = [worker.pid for worker in workers if worker.is_ready]
        return [pid for pid in ready if pid not in self.running and is_running(pid)]

    def _explain_end(self, archive: ServedArchive, pid: int) -> str:
        causes = {each.pid: each.explain_end() for each in self.reports.read(archive)}
        self.reports.remove(pid)
        return f": {causes[pid]}" if causes.get(pid) else ""
