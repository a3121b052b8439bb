"""The proof that an archive needs nothing of the process, and of the machine, that packed it.

The finished archive is unpacked into a private folder. A fresh interpreter that has only the
archive, what every server has, and the recorded requirements loads it through its own entry, and
replays its sample.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from eisen_deploy.packaging._capture import installed
from eisen_deploy.packaging._errors import ProofFailed
from eisen_deploy.packaging._shared.archive import unpacked_folder, zips
from eisen_deploy.packaging._shared.archive.description import Description
from eisen_deploy.packaging._shared.errors import ContractError

from . import clean_process, failure_causes
from .allowed_imports import find_allowed_imports
from .exchange import Outcome, Task

#: Seconds that loading and predicting may take.
TIMEOUT = 600.0

_OUTPUT_LIMIT = 64 * 2**20  # bytes that the process may print
_OUTPUT_KEPT = 2**14
# What a server has as well, and libraries outside Python look at.
_PATHS = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "COMSPEC", "PATHEXT")
_GPUS = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "CUDA_HOME")
_BUILD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CC", "CXX")
_KEPT = (*_PATHS, *_GPUS, *_BUILD)


@dataclass(frozen=True)
class Proof:
    """What was proved.

    :param predicted: whether the sample was replayed; without one the archive was loaded only.
    :param seconds: that the clean process took.
    :param used: version of each distribution of which something was imported there.
    """

    predicted: bool
    seconds: float
    used: Mapping[str, str]


@dataclass
class _Room:
    """Folders of the clean process, all of them empty at first."""

    archive: Path
    about: Description
    home: Path
    work: Path
    report: Path
    output: deque[bytes] = field(default_factory=deque)


def prove(
    archive: Path,
    *,
    inside: Path | None = None,
    gpu_id: int | None = None,
    timeout: float = TIMEOUT,
) -> Proof:
    """Load an archive in a clean process, and replay its sample if it has one.

    A handler that is not ours is not run: ours loads model and transforms in its place.

    :param archive: the file, or the folder of an unpacked one.
    :param inside: an existing folder for what is unpacked; the system's temporary one by default.
    :param gpu_id: the GPU to run on, ``None`` for the CPU.
    :param timeout: in seconds.
    :raises ProofFailed: if it does not load, or does not predict what was recorded, or if the
        recorded requirements are not what is installed here.
    """
    start = time.monotonic()
    with _open_room(archive, inside) as room:
        about = room.about
        allowed, owners = find_allowed_imports(about)
        files = {"model": about.model.file, **about.transforms}
        task: Task = {
            **allowed,
            "folder": str(room.archive),
            "folders": [str(room.archive), str(room.home.parent), *allowed["folders"]],
            "parts": {str(room.archive / file): part for part, file in files.items() if file},
            "gpu_id": gpu_id,
            "report": str(room.report),
        }
        outcome = _run(task, room, timeout)
        error = outcome["error"]
        if error is not None:
            again = _run(task, room, timeout)["error"] if error["differences"] else error
            varies = again is None or again["differences"] != error["differences"]
            reason = failure_causes.explain_error(error, outcome, varies=varies)
            raise ProofFailed(reason, error["differences"])
    used = {owners[root] for root in outcome["imported"]}
    versions = {name: installed.get_version(name) for name in sorted(used)}
    return Proof(about.sample is not None, time.monotonic() - start, versions)


# --- what the clean process gets ----------------------------------------------------------


@contextmanager
def _open_room(archive: Path, inside: Path | None) -> Iterator[_Room]:
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
        yield _Room(unpacked, unpacked_folder.read(unpacked), home, work, top / "report.json")
    except ContractError as error:
        raise ProofFailed(error.problems) from None
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _make_environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    private = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(home))
    return {**kept, **private, "LC_ALL": "C.UTF-8"}


# --- the process --------------------------------------------------------------------------


def _run(task: Task, room: _Room, timeout: float) -> Outcome:
    """Run the process to its end, and return its outcome; whatever it started ends with it.

    :raises ProofFailed: if it does not end by itself, or ends without an outcome.
    """
    room.report.unlink(missing_ok=True)
    room.output.clear()
    command = [sys.executable, "-I", "-S", "-B", clean_process.__file__]
    process = subprocess.Popen(  # noqa: S603 - the command line is our own
        command,
        cwd=room.work,
        env=_make_environment(room.home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
    flooded = threading.Event()
    reader = threading.Thread(target=_keep_tail, args=(process, room.output, flooded), daemon=True)
    reader.start()
    status = None
    try:
        _send(process.stdin, task)
        with suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout)
    finally:
        _kill(process)
        reader.join(5)
    if status is None:
        reason = f"the clean process did not end in {timeout:.0f} s"
    elif flooded.is_set():
        reason = f"the clean process printed more than {_OUTPUT_LIMIT >> 20} MiB"
    elif not room.report.exists():
        reason = failure_causes.explain_death(status)
    else:
        outcome: Outcome = json.loads(room.report.read_bytes())
        return outcome
    raise ProofFailed(reason + failure_causes.quote_last_lines(_read_tail(room)))


def _send(pipe: IO[bytes], task: Task) -> None:
    with suppress(BrokenPipeError), pipe:  # if it ended at once, its status says more
        pipe.write(json.dumps(task).encode())


def _keep_tail(
    process: subprocess.Popen[bytes], output: deque[bytes], flooded: threading.Event
) -> None:
    assert process.stdout is not None  # noqa: S101
    count = kept = 0
    with process.stdout as pipe:
        while piece := os.read(pipe.fileno(), 2**16):
            count += len(piece)
            output.append(piece)
            kept += len(piece)
            while kept - len(output[0]) >= _OUTPUT_KEPT:
                kept -= len(output.popleft())
            if count > _OUTPUT_LIMIT and not flooded.is_set():
                flooded.set()
                _kill(process)


def _read_tail(room: _Room) -> str:
    text = b"".join(room.output)[-_OUTPUT_KEPT:].decode("utf-8", "replace")
    return text.replace(str(room.archive), "<archive>")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started and that is still of its group."""
    if sys.platform == "win32":
        process.kill()
    else:
        # Nobody may be left, and macOS refuses where only a zombie is.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
