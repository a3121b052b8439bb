"""What a server's log says of a model that does not load.

A line of a worker stands there behind the name of the thread that reads it, which TorchServe 0.12
makes of a number, the model's name and its version: ``W-9000-seg_1.0-stdout``. A worker that died
is started again under the same name, so its lines are told apart by where a new process reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LINE = re.compile(r"\S+ \[\w+ *\] (W-\d+-(.+)-(?:stdout|stderr)) MODEL_LOG - (.*)")
# The first line of a worker, unless it dies before that: ts/model_service_worker.py.
_BORN = re.compile(r"(?:s_name_part0=.*|Listening on addr:port.*)")
_PID = re.compile(r"\[PID\](\d+)")

_REFUSED = re.compile(r"archive refused: (.+)")
_UNVERIFIED = re.compile(r"archive not verified: (.+)")
_UNLOADED = re.compile(r"Failed to load model: (.+\n.*Exception.*)")
_RAISED = re.compile(r"(?:Failed to load model|Load model) \S+(?: \w+ OOM)?, exception (.*)")
_FATAL = re.compile(r"Fatal Python error: (.+)")
_FRAME = re.compile(r'  File "(.+)", line (\d+) in (.+)')
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?::.*|$)")
_TELLING = re.compile(r"Exception|Error|error|not found|already running|Invalid|startupTimeout")
# Lines of workers, and what every TorchServe says.
_BESIDE = re.compile(r"MODEL_LOG|^Warning: TorchServe is using|^nvidia-smi not|^WARNING: sun")
_HEAD = "Traceback (most recent call last):"

_TOLD = 2000  # characters of one cause


@dataclass
class Life:
    """One process of a worker.

    :param thread: the name of the thread that reads what it prints.
    :param pid: ``None`` if it died before it said so.
    """

    thread: str
    pid: int | None = None
    lines: list[str] = field(default_factory=list)


def read(*paths: Path) -> str:
    """Return the text of logs, of those that are there; a carriage return ends no line."""
    found = (path.read_bytes() for path in paths if path.is_file())
    return b"\n".join(found).decode("utf-8", "replace")


def refusal(text: str) -> str | None:
    """Return why an archive of any model was refused, by the handler or by TorchServe."""
    match = _REFUSED.search(text) or _UNLOADED.search(text)
    return _one_line(match[1]) if match else None


def unloaded(text: str, file: str) -> str | None:
    """Return why TorchServe itself could not load an archive of its model store."""
    match = re.search(rf"Failed to load model: {re.escape(file)}\n(.*Exception.*)", text)
    return _one_line(match[1]) if match else None


def was_too_slow(text: str, model: str) -> bool:
    """Whether TorchServe has ended a worker because it took too long, by what the server says."""
    ended = (
        rf"W-\d+-{re.escape(model)} \S+WorkerThread - Backend worker error\n.*did not respond in"
    )
    return re.search(ended, text) is not None


def lives(text: str, model: str) -> list[Life]:
    """Return the processes of a model's workers, each in the order in which they began.

    :param model: name and version as TorchServe joins them: ``seg_1.0``.
    """
    found: list[Life] = []
    current: dict[str, Life] = {}
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None or match[2] != model:
            continue
        number, said = match[1].split("-")[1], match[3]
        if number not in current or (_BORN.match(said) and current[number].lines):
            current[number] = Life(number)
            found.append(current[number])
        current[number].lines.append(said)
        if (told := _PID.fullmatch(said)) is not None:
            current[number].pid = int(told[1])
    return found


def refusal_of(life: Life) -> str | None:
    """Return why a process has refused its archive; that is final while the process still runs."""
    for pattern in (_REFUSED, _RAISED):
        for line in life.lines:
            if (match := pattern.match(line)) is not None:
                return _one_line(_with_class(match[1], life.lines))
    return None


def unverified(text: str, model: str) -> str | None:
    """Return why a worker of a model has found unpacked files that are not those verified."""
    said = (line for life in lives(text, model) for line in life.lines)
    return next((_one_line(found[1]) for found in map(_UNVERIFIED.match, said) if found), None)


def cause(life: Life) -> str | None:
    """Return why a process could not load its model, in its own words; ``None`` if it is silent."""
    said = refusal_of(life) or _fatal(life.lines)
    if said is not None:
        return said
    raised = list(_raised(life.lines))
    return _one_line(raised[-1]) if raised else None


def of_server(text: str) -> str | None:
    """Return what a server said last that sounds like a reason; else its last line."""
    lines = [line for line in text.split("\n") if line.strip() and not _BESIDE.search(line)]
    telling = [line for line in lines if _TELLING.search(line) and not line.startswith("\t")]
    return _one_line(" | ".join((telling or lines)[-2:])) or None


def stack(life: Life, count: int = 3) -> list[str]:
    """Return where a process was as it was aborted: ``file:line in function``, innermost first."""
    frames = (_FRAME.fullmatch(line) for line in _of_current_thread(life.lines))
    found = [f"{Path(match[1]).name}:{match[2]} in {match[3]}" for match in frames if match]
    return found[:count]


def _of_current_thread(lines: Sequence[str]) -> Iterator[str]:
    starts = [at for at, line in enumerate(lines) if line.startswith("Current thread")]
    for line in lines[starts[-1] + 1 :] if starts else ():
        if not line.startswith("  File"):
            return
        yield line


def _fatal(lines: Sequence[str]) -> str | None:
    for line in lines:
        if (match := _FATAL.match(line)) is not None:
            where = stack(Life("", lines=list(lines)))
            return f"the worker crashed: {match[1]}" + (f" at {', '.join(where)}" if where else "")
    return None


def _raised(lines: Sequence[str]) -> Iterator[str]:
    """Yield the last line of each traceback: class and text of the exception."""
    inside = False
    for line in lines:
        if line.startswith(_HEAD):
            inside = True
        elif inside and line and not line.startswith(" ") and _EXCEPTION.match(line):
            inside = False
            yield line


def _with_class(text: str, lines: Iterable[str]) -> str:
    """Return an exception's text behind its class, where a traceback tells it."""
    for line in _raised(list(lines)):
        if text and line.endswith(f": {text}"):
            return line
        if not text and ":" not in line:
            return line
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_TOLD]
