"""A terminal into which commands are typed, one after the other, as a reader of a page does."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from .running_command import heed_signals

_DONE = "typed-command-ended"


class Terminal:
    """A shell with all that it starts; it ends when it is left as a context.

    Standard output and error come together, as on a screen.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heed_signals,  # noqa: PLW1509 - it only resets signals
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        """Interrupt what runs, as Ctrl-C does, and close the shell; kill what does not end."""
        self._shell.stdin.close()
        os.killpg(self._shell.pid, signal.SIGINT)
        try:
            self._shell.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.wait()
            raise
        finally:
            self._reader.join(10)
            self._shell.stdout.close()

    def type(self, command: str, seconds: float, until: str | None = None) -> tuple[str, int]:
        """Return what a command prints, and its exit status.

        :param until: the last line that a command prints which goes on running.
        """
        # ``$?`` of the next command is that of this one.
        end = f'status=$?; echo "{_DONE} $status"; (exit $status)'
        self._shell.stdin.write(f"{{ {command}\n}} < /dev/null\n{end}\n")
        self._shell.stdin.flush()
        deadline = time.monotonic() + seconds
        printed = ""
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"the shell ended: {printed}"
            before, ended, status = line.partition(_DONE)  # after output without a line's end
            if ended:
                return printed + before, int(status)
            printed += line
            if until is not None and line.rstrip() == until:
                return printed, 0

    def _read_lines(self) -> None:
        for line in self._shell.stdout:
            self._lines.put(line)
        self._lines.put(None)
