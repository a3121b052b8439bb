"""What a worker reports to whoever started its server: that it begins to load, and why it failed.

Whoever starts the server names a folder in the environment. Each worker writes one file there,
named by the number of its process. If native code crashes, Python shows where: in TorchServe's log,
or in a file beside the report.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
from contextlib import suppress
from pathlib import Path

from ..errors import LoadFailed, NotVerified

#: The variable with the folder; without it there is no report.
FOLDER = "EISEN_SERVE_REPORTS"
#: The variable that sends what Python writes at a crash into a file.
TRACES = "EISEN_SERVE_TRACES"

#: The states of a worker: its model is not refused (yet); the unpacked archive is not the one that
#: was verified; it is refused for another reason; the worker has ended because of an exception.
BEGUN = "begun"
NOT_VERIFIED = "not verified"
REFUSED = "refused"
DIED = "died"

_MOST_TEXT = 4000
# What TorchServe's worker logs then. Source: TorchServe 0.12, ts/model_service_worker.py.
_DEATH = "Backend worker process died."


class LoadReport:
    """The report of this process, in a ``with`` around the loading of the archive.

    :param model: name and version under which the server has registered the archive.
    """

    def __init__(self, model: tuple[str, str]) -> None:
        folder = os.environ.get(FOLDER)
        self._path = Path(folder, f"{os.getpid()}.json") if folder else None
        self._model = model
        self._is_refused = False

    def __enter__(self) -> None:
        """Write that it begins. If native code crashes, Python shows where; it prints no values."""
        if not faulthandler.is_enabled():
            faulthandler.enable()
        self._write(BEGUN)
        if self._path is not None:
            logging.getLogger().addFilter(self._notice_death)
            with suppress(OSError):
                if TRACES in os.environ:
                    faulthandler.enable(self._path.with_suffix(".trace").open("wb"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Write why the archive cannot be loaded, if it cannot."""
        if error is not None:
            self._is_refused = True
            state = NOT_VERIFIED if isinstance(error, NotVerified) else REFUSED
            self._write(state, str(error) if isinstance(error, LoadFailed) else _describe(error))

    def _notice_death(self, record: logging.LogRecord) -> bool:
        """Write what ends TorchServe's worker; only its logger ever knows. The line is logged."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and record.msg == _DEATH and not self._is_refused:
            self._write(DIED, _describe(error))
        return True

    def _write(self, state: str, message: str = "") -> None:
        if self._path is None:
            return
        name, version = self._model
        report = {"name": name, "version": version, "state": state, "message": message[:_MOST_TEXT]}
        part = self._path.with_suffix(".part")
        with suppress(OSError):  # a full disk must not keep a model from being served
            part.write_text(json.dumps(report), "ascii")
            part.replace(self._path)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
