"""A command in a process group of its own, ended with all that it has started, whatever happens.

A guardian process stands between: it ends the group also if whoever started it is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import guardian


class GuardedProcess:
    """One command, from :meth:`start` to :meth:`stop`; Linux only.

    :param log: the file to which all that it prints is appended.
    :param grace: seconds that it has to end by itself, once it is asked to.
    :param disposable: a folder that is removed if the process that started it is gone.
    """

    def __init__(
        self, command: Sequence[str], log: Path, *, grace: float, disposable: Path | None = None
    ) -> None:
        self._command, self._log, self._disposable = list(command), log, disposable
        self._grace = grace
        self._guardian: subprocess.Popen[bytes] | None = None
        self.group = 0

    def start(
        self, folder: Path, environment: Mapping[str, str], descriptors: Sequence[int] = ()
    ) -> None:
        """Start the command.

        :param folder: in which it works.
        :param descriptors: that it inherits.
        :raises OSError: if it cannot be started.
        """
        guard = [sys.executable, "-I", "-S", guardian.__file__, str(self._log)]
        self._guardian = subprocess.Popen(  # noqa: S603 - the command line is our own
            [*guard, str(self._disposable or ""), str(self._grace), *self._command],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            start_new_session=True,
        )
        assert self._guardian.stdout is not None  # noqa: S101 - asked for
        with self._guardian.stdout as said:
            group = said.readline()
        if not group:  # and a group of number 0 would be that of this process
            raise OSError(f"its guardian ended with {self._guardian.wait()}")
        self.group = int(group)

    @property
    def is_running(self) -> bool:
        """Whether any of its processes is left."""
        return self._guardian is not None and self._guardian.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status of a command that ended by itself; 128 + N where signal N ended it."""
        status = None if self._guardian is None else self._guardian.poll()
        return 128 - status if status is not None and status < 0 else status  # its guardian's

    def ask_to_end(self) -> None:
        """Send SIGTERM; :meth:`stop` still has to be called."""
        self._tell(b"t")

    def kill(self) -> None:
        """End all of it at once; :meth:`stop` still has to be called."""
        self._tell(b"k")

    def stop(self, *, force: bool = False) -> None:
        """End it, and whatever is left of its process group by force.

        :param force: use it at once.
        """
        if self._guardian is None:
            return
        self._tell(b"k" if force else b"t")
        try:
            self._guardian.wait(2 * self._grace)
        except subprocess.TimeoutExpired:
            self._tell(b"k")
            self._wait_or_kill(self._grace)
        with contextlib.suppress(ProcessLookupError):
            if self.group:
                os.killpg(self.group, signal.SIGKILL)  # should the guardian have been killed
        assert self._guardian.stdin is not None  # noqa: S101 - asked for
        with contextlib.suppress(BrokenPipeError):
            self._guardian.stdin.close()
        self._guardian = None

    def _wait_or_kill(self, seconds: float) -> None:
        assert self._guardian is not None  # noqa: S101 - by who calls
        try:
            self._guardian.wait(seconds)
        except subprocess.TimeoutExpired:  # it was stopped, say
            self._guardian.kill()
            self._guardian.wait()

    def _tell(self, what: bytes) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guardian.stdin.write(what)
                self._guardian.stdin.flush()
