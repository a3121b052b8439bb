"""A process that outlives whoever started a server just long enough to leave nothing of it behind.

Run as a script, ``guardian.py LOG FOLDER SECONDS COMMAND...``, it starts the command in a process
group of its own, prints the group's number, and waits for the first of these:

* the server ends by itself: the command, or what is left once the command has ended with 0. What
  is left of its group, its workers, is killed;
* a ``t`` comes on the standard input: the group is asked to end (SIGTERM), and killed if it takes
  longer than ``SECONDS``, or if a ``k`` comes;
* the standard input ends. So it does when the process at the other end is gone, for whatever
  reason, ``kill -9`` included. Then nobody else will remove ``FOLDER``, so that is done here too,
  unless its name is empty.

The command may open as many files as the hard limit allows: each connection takes one, and the soft
limit of many shells is 1024. What the command and the server print goes to ``LOG`` through here: a
full disk does not reach them, and at 20 MB the file is turned over to ``LOG.1``. This ends as the
server ended; as a shell, it says 128 + the number for a signal. Standard library only, and nothing
of this package.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_POLL = 0.05
_LOG_BYTES = 20 * 10**6
# Between two looks at what else there is to do: some print without an end.
_READS = 32


class Guardian:
    """One server, from its start until nothing of it is left.

    :param command: starts it. The command may end and leave the server behind, as ``torchserve
        --start`` does: processes whose parent ends become children of this one.
    :raises OSError: if they do not, as on other systems than Linux.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        _adopt_orphans()
        self.output, end = os.pipe()
        os.set_blocking(self.output, False)
        self._log = log
        self._starter = subprocess.Popen(  # noqa: S603 - given by who starts this
            command,
            stdin=subprocess.DEVNULL,
            stdout=end,
            stderr=end,
            close_fds=False,  # the command inherits what this was given, and nothing else
            start_new_session=True,
        )
        os.close(end)
        self.group = self._starter.pid
        self.status: int | None = None
        self._early: int | None = None

    def reap(self) -> bool:
        """Note who has ended; return whether anybody is left."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._note(*ended)
        except ChildProcessError:
            return False
        return True

    def write_log(self) -> bool:
        """Write some of what was printed; return whether more can come."""
        try:
            for _ in range(_READS):
                if not (printed := os.read(self.output, 2**16)):
                    return False
                with contextlib.suppress(OSError), self._log.open("ab") as file:
                    if file.tell() > _LOG_BYTES:
                        self._log.replace(f"{self._log}.1")
                    file.write(printed)
        except BlockingIOError:
            pass
        return True

    def end(self, seconds: float) -> None:
        """End all of it: by SIGTERM, and by force for whoever is left after so many seconds.

        Some may have left the group; they are seen here once their own parents have ended.
        """
        deadline = time.monotonic() + seconds
        number, asked = signal.SIGTERM, set[int]()
        while self.reap():
            self.write_log()
            if time.monotonic() >= deadline:
                number, asked = signal.SIGKILL, set()
            for pid in {-self.group, *_children()} - asked:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
                asked.add(pid)
            if deadline > 0 and b"k" in _read(_POLL / 5):
                deadline = 0
            time.sleep(_POLL / 5)

    def _note(self, pid: int, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        if pid == self._starter.pid:
            self._starter.returncode = code
            if code == 0:  # the server itself lives on, unless it has ended by now
                self.status = None if _children() else self._early
                return
        elif self._starter.returncode is None:  # some process that a child had left behind
            self._early = _as_shell(code)
            return
        if self.status is None:
            self.status = _as_shell(code)


def main(arguments: list[str]) -> int:
    """Guard one server; return the status that it ended with."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not ignored: the server would inherit that
    wakes, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    log, folder, seconds, *command = arguments
    _raise_open_files()
    guardian = Guardian(command, Path(log))
    _close_all_but({0, 1, 2, wakes, woken, guardian.output})
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{guardian.group}\n".encode())
    said = _watch(guardian, wakes)
    guardian.end(0 if said in (None, b"k") else float(seconds))
    guardian.write_log()
    if said == b"" and folder:
        shutil.rmtree(folder, ignore_errors=True)
    return guardian.status or 0


def _as_shell(code: int) -> int:
    return code if code >= 0 else 128 - code


def _watch(guardian: Guardian, wakes: int) -> bytes | None:
    """Wait until the server has ended; or has to, and return what came on the standard input."""
    read = [0, wakes, guardian.output]
    while guardian.reap() and guardian.status is None:
        ready, _, _ = select.select(read, [], [])
        if guardian.output in ready and not guardian.write_log():
            read.remove(guardian.output)
        if wakes in ready:
            os.read(wakes, 512)
        if 0 in ready:
            return os.read(0, 1)
    return None


def _read(seconds: float) -> bytes:
    """Return what comes on the standard input meanwhile; nothing once it has ended."""
    ready, _, _ = select.select([0], [], [], seconds)
    return os.read(0, 16) if ready else b""


def _raise_open_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _close_all_but(kept: set[int]) -> None:
    """Close what only the command needs: a socket that is open here still takes connections."""
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(entry.name))


def _children() -> list[int]:
    pid = os.getpid()
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
