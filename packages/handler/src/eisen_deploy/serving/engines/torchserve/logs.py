"""What TorchServe's own log says, where nobody else knows it: of archives, workers and its end.

A line of a worker stands there behind the name of the thread that reads it, which TorchServe 0.12
makes of a number, the model's name and its version: ``W-9000-seg_1.0-stdout``. What a worker says
once it has begun to load its archive is not looked for here: see :mod:`.worker_reports`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_SAID = r"^\S+ \[\w+ *\] W-\d+-{}-(?:stdout|stderr) MODEL_LOG - (.*)"
# The last line of a traceback: class and text of the exception.
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?::.*|$)")
_HEAD = "Traceback (most recent call last):"
_REASON = re.compile(r"Exception|Error|error|not found|already running|Invalid|startupTimeout")
# Lines of workers, and what every TorchServe says.
_USUAL = re.compile(r"MODEL_LOG|^Warning: TorchServe is using|^nvidia-smi not|^WARNING: sun")

_MOST_TEXT = 2000  # characters of one cause
_MOST_BYTES = 4 * 2**20


class Log:
    """What is written into log files from now on."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._starts = {path: path.stat().st_size if path.exists() else 0 for path in paths}

    def text(self) -> str:
        """Return it; of a file that was rotated or is very large, the end."""
        found = (_read_from(path, start) for path, start in self._starts.items())
        return b"\n".join(found).decode("utf-8", "replace")


def _read_from(path: Path, start: int) -> bytes:
    """Return what stands in a file from a position on; all of it if it was rotated since."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start if start <= size else 0, size - _MOST_BYTES))
            return file.read()
    except OSError:
        return b""


def read(*paths: Path) -> str:
    """Return the text of logs, of those that are there; a carriage return ends no line."""
    found = (path.read_bytes() for path in paths if path.is_file())
    return b"\n".join(found).decode("utf-8", "replace")


def explain_unloaded(text: str, file: str) -> str | None:
    """Return why TorchServe itself could not load an archive of its model store."""
    match = re.search(rf"Failed to load model: {re.escape(file)}\n(.*Exception.*)", text)
    return join_lines(match[1]) if match else None


def was_too_slow(text: str, model: str) -> bool:
    """Whether TorchServe has ended a worker because it took too long, by what the server says.

    :param model: name and version as TorchServe joins them: ``seg_1.0``.
    """
    ended = (
        rf"W-\d+-{re.escape(model)} \S+WorkerThread - Backend worker error\n.*did not respond in"
    )
    return re.search(ended, text) is not None


def find_exception(text: str, model: str) -> str | None:
    """Return the last exception that a model's workers have printed: class and text."""
    raised, inside = None, False
    for said in re.findall(_SAID.format(re.escape(model)), text, re.MULTILINE):
        if said.startswith(_HEAD):
            inside = True
        elif inside and _EXCEPTION.match(said):
            raised, inside = said, False
    return join_lines(raised) if raised else None


def explain_end(text: str) -> str | None:
    """Return what a server said last that sounds like a reason; else its last line."""
    lines = [line for line in text.split("\n") if line.strip() and not _USUAL.search(line)]
    reasons = [line for line in lines if _REASON.search(line) and not line.startswith("\t")]
    return join_lines(" | ".join((reasons or lines)[-2:])) or None


def join_lines(text: str) -> str:
    """Return a text as one line, and no more of it than a message takes."""
    return " ".join(text.split())[:_MOST_TEXT]
