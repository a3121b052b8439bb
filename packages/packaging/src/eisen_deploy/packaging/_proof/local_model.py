"""An archive in a clean process that answers requests, as it would behind a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from eisen_deploy.packaging._errors import ProofFailed
from eisen_deploy.packaging._shared.model.serving_options import ServingOptions

from . import failure_causes
from .allowed_imports import find_allowed_imports
from .clean_room import CleanProcess, open_room
from .exchange import Head
from .proving import TIMEOUT


class LocalModel:
    """The model of one archive, loaded; the requests are answered one after the other.

    :param process: one that has said that it is loaded.
    :param seconds: that an answer may take; ``None`` for as long as it takes.
    """

    def __init__(self, process: CleanProcess, seconds: int | None) -> None:
        self._process = process
        self._seconds = seconds

    def answer(
        self, headers: Mapping[str, str], body: Sequence[bytes | memoryview]
    ) -> tuple[int, Mapping[str, str], bytearray]:
        """Answer one request; it may be stopped from another thread.

        :param body: its buffers, in order; none ask for the metadata.
        :returns: status, headers and body of the reply.
        :raises ChildProcessError: if the process has ended, or was ended since it took longer than
            the archive allows; the text says how.
        """
        with _kill_after(self._process, self._seconds) as is_over:
            with suppress(BrokenPipeError):  # how it ended says more
                _write(self._process.requests, headers, body)
            reply = _read(self._process.replies)
        if reply is None:
            reason = f"it did not answer in {self._seconds} s, the archive's response_timeout"
            raise ChildProcessError(self._process.describe_end(reason if is_over.is_set() else ""))
        return reply

    def stop(self) -> None:
        """End the process, and with it a running answer."""
        self._process.kill()

    def end(self) -> str:
        """End the process, and return the last of what it logged and printed."""
        self._process.kill()
        return self._process.read_tail()


@contextmanager
def open_local_model(
    folder: Path,
    serving: ServingOptions,
    gpu_id: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[LocalModel]:
    """Load an unpacked and verified archive in a clean process, which ends with the context.

    Its sample is predicted first where a server would do that.

    :param serving: the archive's own options: how long it may take to load, and to answer.
    :param gpu_id: the GPU to run on, ``None`` for the CPU.
    :param variables: of the environment, beside the few that every server has.
    :raises ProofFailed: if it does not load, or the recorded requirements are not what is
        installed here.
    """
    with open_room(folder) as room:
        allowed, _ = find_allowed_imports(room.about)
        task = room.make_task(allowed, gpu_id, answers=True)
        with CleanProcess(task, room, variables) as process:
            _wait_until_loaded(process, serving.startup_timeout or TIMEOUT)
            yield LocalModel(process, serving.response_timeout)


def _wait_until_loaded(process: CleanProcess, seconds: float) -> None:
    with _kill_after(process, seconds) as is_over:
        loaded = process.replies.readline()
    if loaded:
        return
    if is_over.is_set():
        raise ProofFailed(process.explain_end(f"the archive did not load in {seconds:.0f} s"))
    outcome = process.read_outcome()
    assert outcome["error"] is not None  # noqa: S101 - else it would be loaded
    raise ProofFailed(failure_causes.explain_error(outcome["error"], outcome, varies=False))


@contextmanager
def _kill_after(process: CleanProcess, seconds: float | None) -> Iterator[threading.Event]:
    """End a process that is not done in time; the event says whether that was so."""
    is_over = threading.Event()
    if seconds is None:
        yield is_over
        return

    def kill() -> None:
        is_over.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()


def _write(pipe: IO[bytes], headers: Mapping[str, str], body: Sequence[bytes | memoryview]) -> None:
    head = {"headers": dict(headers), "size": sum(map(len, body))}
    pipe.writelines([json.dumps(head).encode() + b"\n", *body])
    pipe.flush()


def _read(pipe: IO[bytes]) -> tuple[int, Mapping[str, str], bytearray] | None:
    """Return one reply; ``None`` if the process ended before all of it was there."""
    line = pipe.readline()
    if not line.endswith(b"\n"):
        return None
    head: Head = json.loads(line)
    body = bytearray(head["size"])
    read: int = pipe.readinto(body)  # type: ignore[attr-defined] # of buffered files alone
    return (head["status"], head["headers"], body) if read == len(body) else None
