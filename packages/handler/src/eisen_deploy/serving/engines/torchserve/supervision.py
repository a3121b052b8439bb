"""Keep archives served: start TorchServe, watch it and its workers, start it again when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from eisen_deploy.serving.engines.archives import Archive, BadArchives, check_copies

from . import logs
from .calls import Server
from .launcher import TorchServe
from .readiness import Log, NotReady, ending, is_running, wait

_POLL = 0.5
# So many looks after which workers that were added meanwhile are noted, too.
_LOOKS = 20
# TorchServe tries for five minutes.
_GIVEN_UP = 330.0
_FAILURES = 5
# Seconds without an answer to anything. A large request may keep a thread busy for a few.
_SILENCE = 60.0
_LONGEST_PAUSE = 30.0


class Service:
    """Archives on one TorchServe.

    :param log_paths: the files in which the server and its workers write.
    :param seconds: that all models have for their first prediction, at each start.
    :param say: is called with a line for each thing that happens.
    """

    def __init__(
        self,
        server: TorchServe,
        calls: Server,
        archives: Sequence[Archive],
        log_paths: Sequence[Path],
        *,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self._server, self._calls, self._archives = server, calls, archives
        self._log_paths, self._seconds, self._say = log_paths, seconds, say
        self._log = Log(log_paths)

    def start(self) -> None:
        """Start the server and wait until every model has predicted.

        :raises NotReady: if one does not load, or the server ends.
        """
        self._log = Log(self._log_paths)
        self._server.start()
        wait(
            self._server,
            self._calls,
            self._archives,
            self._log,
            seconds=self._seconds,
            say=self._say,
        )

    def keep(self, started: Callable[[], None]) -> None:
        """Serve, until an exception ends it; a server that ends is started again.

        :param started: is called when it serves again.
        :raises NotReady: if it cannot be started any more.
        """
        while True:
            self._watch()
            self._say(f"TorchServe ended: {ending(self._server, self._log.text())}; starting again")
            began = time.monotonic()
            self._start_again()
            self._say(f"serving again, after {time.monotonic() - began:.1f} s")
            started()

    def _start_again(self) -> None:
        for failure in range(1, _FAILURES + 1):
            self._server.stop()  # forgets the one that ended, and its keys
            try:
                self._check_copies()
                self.start()
            except NotReady as error:
                if failure == _FAILURES:
                    raise
                pause = min(2.0**failure, _LONGEST_PAUSE)
                self._say(f"{error}; next try in {pause:.0f} s, {_FAILURES - failure} are left")
                self._server.stop()
                time.sleep(pause)
            else:
                return

    def _check_copies(self) -> None:
        """Check that what is about to be served is what was verified.

        :raises NotReady: if it is not.
        """
        try:
            check_copies(self._archives)
        except BadArchives as error:
            raise NotReady(error.problems) from None

    def _watch(self) -> None:
        """Watch until the server ends, and tell which workers end and come back."""
        workers = _Workers(self._archives, self._calls, self._log, self._say)
        pulse = _Pulse(self._calls)
        while self._server.processes():
            if pulse.is_lost():
                self._say(f"TorchServe has answered nothing for {_SILENCE:.0f} s: it is ended")
                self._server.kill()
            workers.look()
            if (why := workers.refusal()) is not None:
                self._say(f"{why}: TorchServe is ended, to unpack its verified archives again")
                self._server.kill()
            time.sleep(_POLL)


class _Pulse:
    """Whether the server answers. A Java that hangs, or only collects garbage, does not end."""

    def __init__(self, calls: Server) -> None:
        self._calls = calls
        self._answered = self._asked = time.monotonic()

    def is_lost(self) -> bool:
        """Return whether it has not answered for too long; it is asked now and then."""
        if time.monotonic() - self._asked > _SILENCE / 6:
            if self._calls.is_answering(timeout=_SILENCE / 3):
                self._answered = time.monotonic()
            self._asked = time.monotonic()
        return time.monotonic() - self._answered > _SILENCE


class _Workers:
    """The processes of the models as they were last seen.

    Whether one is there, the kernel tells; which one took its place, the management API. Neither
    needs a log that is written.
    """

    def __init__(
        self,
        archives: Sequence[Archive],
        calls: Server,
        log: Log,
        say: Callable[[str], None],
    ) -> None:
        self._archives, self._calls, self._log, self._say = archives, calls, log, say
        self._running: dict[int, Archive] = {}
        self._ended: list[tuple[Archive, float]] = []
        self._looks = 0

    def look(self) -> None:
        """Tell what has changed."""
        if self._looks % _LOOKS == 0:
            missed = [archive for archive, _ in self._ended]  # whose new ones are told below
            for archive in self._archives:
                if archive not in missed:
                    self._running.update(dict.fromkeys(self._begun(archive), archive))
        self._looks += 1
        for pid in [pid for pid in self._running if not is_running(pid)]:
            archive = self._running.pop(pid)
            self._ended.append((archive, time.monotonic()))
            self._say(f"{archive.url_part}: worker {pid} ended{self._why(archive, pid)}")
        for archive, since in list(self._ended):
            if time.monotonic() - since > _GIVEN_UP:
                self._ended.remove((archive, since))
                self._say(f"{archive.url_part}: TorchServe has given up on a worker of it")
                continue
            for pid in self._begun(archive)[:1]:
                self._ended.remove((archive, since))
                self._running[pid] = archive
                seconds = time.monotonic() - since
                self._say(f"{archive.url_part}: worker {pid} serves again, after {seconds:.1f} s")

    def refusal(self) -> str | None:
        """Return which worker was not started again since unpacked files have changed, and why."""
        for archive, _ in self._ended:
            if why := logs.unverified(self._log.text(), archive.worker_name):
                self._ended.clear()  # it is said once
                return f"{archive.url_part}: {why}"
        return None

    def _begun(self, archive: Archive) -> list[int]:
        """Return the processes that are ready and not known yet."""
        workers = self._calls.workers(archive.url_part)
        ready = [int(worker["pid"]) for worker in workers if worker["status"] == "READY"]
        return [pid for pid in ready if pid not in self._running and is_running(pid)]

    def _why(self, archive: Archive, pid: int) -> str:
        for life in logs.lives(self._log.text(), archive.worker_name):
            if life.pid == pid and (cause := logs.cause(life)):
                return f": {cause}"
        return ""
