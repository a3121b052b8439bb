"""A fresh interpreter in folders of its own, and the end of it and of all that it started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from eisen_deploy.packaging._errors import ProofFailed
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging._shared.archive.description import Description
from eisen_deploy.packaging._shared.errors import ContractError

from . import clean_process, failure_causes
from .exchange import Outcome, Task

if TYPE_CHECKING:
    from typing_extensions import Self

    from .exchange import Allowed

_OUTPUT_LIMIT = 64 * 2**20  # bytes that the process may print
_OUTPUT_KEPT = 2**14
# What a server has as well, and libraries outside Python look at.
_PATHS = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "COMSPEC", "PATHEXT")
_GPUS = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "CUDA_HOME")
_BUILD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CC", "CXX")
_KEPT = (*_PATHS, *_GPUS, *_BUILD)


@dataclass(frozen=True)
class Room:
    """Folders of the clean process, all of them empty at first but that of the archive."""

    archive: Path
    about: Description
    home: Path
    work: Path
    report: Path

    def make_task(self, allowed: Allowed, gpu_id: int | None, *, answers: bool = False) -> Task:
        """Return what a process in this room is to do.

        :param allowed: what it may see of this machine beside the room.
        :param answers: whether it goes on to answer requests.
        """
        files = {"model": self.about.model.file, **self.about.transforms}
        return {
            **allowed,
            "folder": str(self.archive),
            "folders": [str(self.archive), str(self.home.parent), *allowed["folders"]],
            "parts": {str(self.archive / file): part for part, file in files.items() if file},
            "gpu_id": gpu_id,
            "report": str(self.report),
            "answers": answers,
        }


@contextmanager
def open_room(archive: Path, inside: Path | None = None) -> Iterator[Room]:
    """Make a room, and remove it at the end.

    :param archive: the file, or the folder of an unpacked one.
    :param inside: an existing folder for what is unpacked; the system's temporary one by default.
    :raises ProofFailed: if the archive cannot be read.
    """
    top = Path(tempfile.mkdtemp(prefix="eisen-proof-", dir=inside)).resolve()
    try:
        folders = [top / name for name in ("archive", "home", "work")]
        for folder in folders:
            folder.mkdir()
        unpacked, home, work = folders
        if archive.is_dir():
            unpacked = archive.resolve()
        else:
            zips.unpack(archive, unpacked)
        yield Room(unpacked, unpacked_folder.read(unpacked), home, work, top / "report.json")
    except ContractError as error:
        raise ProofFailed(error.problems) from None
    finally:
        shutil.rmtree(top, ignore_errors=True)


class CleanProcess:
    """The process; whatever it started ends with it.

    What it prints is kept as far as it is the end. One that answers has its pipes in ``requests``
    and ``replies``.

    :param variables: of its environment, beside the few that every server has.
    """

    def __init__(self, task: Task, room: Room, variables: Mapping[str, str] | None = None) -> None:
        room.report.unlink(missing_ok=True)
        self._room = room
        self._output: deque[bytes] = deque()
        self._flooded = threading.Event()
        self._process = subprocess.Popen(  # noqa: S603 - the command line is our own
            [sys.executable, "-I", "-S", "-B", clean_process.__file__],
            cwd=room.work,
            env={**_make_environment(room.home), **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if task["answers"] else subprocess.STDOUT,
            start_new_session=True,
        )
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None and replies is not None  # noqa: S101, PT018
        self.requests, self.replies = requests, replies
        printed = self._process.stderr or replies
        self._reader = threading.Thread(target=self._keep_tail, args=(printed,), daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError):  # if it ended at once, its status says more
            requests.write(json.dumps(task).encode() + b"\n")
            requests.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._reader.join(5)
        self.close_requests()
        self.replies.close()

    def close_requests(self) -> None:
        """Let the process know that there are no more requests."""
        with suppress(OSError):  # it may have ended, with something not written yet
            self.requests.close()

    def wait(self, timeout: float) -> int | None:
        """Wait until it ends by itself, and return its status; ``None`` if it does not in time."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def kill(self) -> None:
        """End the process and all that it started and that is still of its group."""
        if sys.platform == "win32":
            self._process.kill()
        else:
            # Nobody may be left, and macOS refuses where only a zombie is.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def read_outcome(self) -> Outcome:
        """Return what the process found; it has ended.

        :raises ProofFailed: if it ended without an outcome.
        """
        if not self._flooded.is_set() and self._room.report.exists():
            outcome: Outcome = json.loads(self._room.report.read_bytes())
            return outcome
        raise ProofFailed(self.explain_end())

    def explain_end(self, reason: str = "") -> str:
        """Say how it ended, and what it printed last; parameter as of :meth:`describe_end`."""
        return self.describe_end(reason) + failure_causes.quote_last_lines(self.read_tail())

    def describe_end(self, reason: str = "") -> str:
        """Say how it ended.

        :param reason: why it was killed, if it was.
        """
        if self._flooded.is_set():
            return f"the clean process printed more than {_OUTPUT_LIMIT >> 20} MiB"
        return reason or failure_causes.explain_death(self._process.wait())

    def read_tail(self) -> str:
        """Return the end of what it printed; it has ended."""
        self._reader.join(5)
        text = b"".join(self._output)[-_OUTPUT_KEPT:].decode("utf-8", "replace")
        return text.replace(str(self._room.archive), "<archive>")

    def _keep_tail(self, pipe: IO[bytes]) -> None:
        count = kept = 0
        with pipe:
            while piece := os.read(pipe.fileno(), 2**16):
                count += len(piece)
                self._output.append(piece)
                kept += len(piece)
                while kept - len(self._output[0]) >= _OUTPUT_KEPT:
                    kept -= len(self._output.popleft())
                if count > _OUTPUT_LIMIT and not self._flooded.is_set():
                    self._flooded.set()
                    self.kill()


def _make_environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    private = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(home))
    return {**kept, **private, "LC_ALL": "C.UTF-8"}
