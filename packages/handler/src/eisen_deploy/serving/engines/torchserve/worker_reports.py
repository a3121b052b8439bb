"""What workers report, read: each in a file of its own, so that no log has to be searched for it.

A model's code may write there what it likes. So a file is read up to a size, and taken for what it
says and no more; whoever shows a message escapes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.serving.engines.machine import is_running
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime._shared.archive import zips
from eisen_deploy.serving.runtime._shared.errors import CorruptArchive
from eisen_deploy.serving.runtime.torchserve.load_report import NOT_VERIFIED

from .logs import join_lines

_MOST_BYTES = 2**16
_NAME = re.compile(r"([1-9][0-9]{0,6})\.json")
_KEYS = ("name", "version", "state", "message")
_FATAL = re.compile(r"Fatal Python error: (.+)")
_THREAD = re.compile(r"^Current thread .*\n((?:  File .*\n)*)", re.MULTILINE)
_FRAME = re.compile(r'  File "(.+)", line (\d+) in (.+)')


@dataclass(frozen=True)
class WorkerReport:
    """One process of a worker, by what it has reported.

    :param model: name and version, the latter as the unpacked archive says it.
    :param state: one of those of :mod:`~eisen_deploy.serving.runtime.torchserve.load_report`.
    :param message: empty unless it failed.
    :param trace: what Python wrote as the process crashed or was aborted.
    """

    pid: int
    model: tuple[str, str]
    state: str
    message: str
    trace: str

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return is_running(self.pid)

    def is_about(self, archive: ServedArchive) -> bool:
        """Whether it is a worker of an archive; one that was exchanged says any version."""
        name, version = self.model
        is_known = version == archive.version or self.state == NOT_VERIFIED
        return name == archive.name and is_known

    def explain_end(self) -> str | None:
        """Return why it could not load its model, or has crashed; ``None`` if it is silent."""
        fatal = _FATAL.search(self.trace)
        if self.message or fatal is None:
            return join_lines(self.message) or None
        where = ", ".join(self.find_place())
        return join_lines(f"the worker crashed: {fatal[1]}" + (f" at {where}" if where else ""))

    def find_place(self, count: int = 3) -> list[str]:
        """Return where it crashed or was aborted: ``file:line in function``, innermost first."""
        thread = _THREAD.search(self.trace)
        frames = _FRAME.findall(thread[1] if thread else "")[:count]
        return [f"{Path(file).name}:{line} in {function}" for file, line, function in frames]


class WorkerReports:
    """The reports of a server's workers.

    :param folder: in which the workers write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clear(self) -> None:
        """Remove them all: a server is about to be started."""
        with suppress(OSError):  # a full disk must not keep it from that
            self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("[0-9]*.*"):
            with suppress(OSError):
                path.unlink()

    def read(self, archive: ServedArchive | None = None) -> list[WorkerReport]:
        """Return the reports, of one archive or of all, the one written last at the end."""
        found = [report for _, report in sorted(self._find(), key=lambda item: item[0])]
        return [report for report in found if archive is None or report.is_about(archive)]

    def remove(self, pid: int) -> None:
        """Remove that of a process that has ended; of crashes, the last trace is kept."""
        path = self.folder / f"{pid}.trace"
        with suppress(OSError):
            path.replace(self.folder / "crash.txt") if path.stat().st_size else path.unlink()
        with suppress(OSError):
            path.with_suffix(".json").unlink()

    def _find(self) -> Iterator[tuple[float, WorkerReport]]:
        for path in self.folder.glob("*.json"):
            match = _NAME.fullmatch(path.name)
            try:
                said = json.loads(_read(path))
                name, version, state, message = (str(said[key]) for key in _KEYS)
                written = path.stat().st_mtime
            except (OSError, ValueError, LookupError, TypeError, RecursionError):
                continue
            if match is not None:
                trace = _read(path.with_suffix(".trace"))
                report = WorkerReport(int(match[1]), (name, version), state, message, trace)
                yield written, report


def _read(path: Path) -> str:
    """Return the text of a file; nothing if it is not there, or no file."""
    try:
        with zips.open_archive(path) as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except (OSError, CorruptArchive):
        return ""
