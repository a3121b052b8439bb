"""The proof that an archive needs nothing of the process, and of the machine, that packed it.

The finished archive is unpacked into a private folder. A fresh interpreter that has only the
archive, what every server has, and the recorded requirements loads it through its own entry, and
replays its sample.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.packaging._capture import installed
from eisen_deploy.packaging._errors import ProofFailed

from . import failure_causes
from .allowed_imports import find_allowed_imports
from .clean_room import CleanProcess, Room, open_room
from .exchange import Outcome, Task

#: Seconds that loading and predicting may take.
TIMEOUT = 600.0


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
    with open_room(archive, inside) as room:
        about = room.about
        allowed, owners = find_allowed_imports(about)
        task = room.make_task(allowed, gpu_id)
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


def _run(task: Task, room: Room, timeout: float) -> Outcome:
    """Run the process to its end, and return its outcome.

    :raises ProofFailed: if it does not end by itself, or ends without an outcome.
    """
    with CleanProcess(task, room) as process:
        process.close_requests()
        status = process.wait(timeout)
    if status is None:
        raise ProofFailed(process.explain_end(f"the clean process did not end in {timeout:.0f} s"))
    return process.read_outcome()
