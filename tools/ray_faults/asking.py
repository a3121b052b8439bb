"""Questions to the process on the head that asks Ray; :mod:`.control` is the other side."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import suppress
from typing import Any

from .node import Node

_PATIENCE = 120.0


class Control:
    """A process on the head; it is started when something is asked, and again after its end.

    :param address: of the cluster, for Ray.
    """

    def __init__(self, head: Node, address: str) -> None:
        self._head, self._address = head, address
        self._process: subprocess.Popen[str] | None = None

    def ask(self, what: str, **more: object) -> Any:
        """Return what Ray says.

        :raises OSError: if there is no answer.
        :raises ValueError: if it is an error.
        """
        process = self._find()
        assert process.stdin is not None  # noqa: S101 - asked for
        assert process.stdout is not None  # noqa: S101 - asked for
        process.stdin.write(json.dumps({"ask": what, **more}) + "\n")
        process.stdin.flush()
        line = ""
        if select.select([process.stdout], [], [], _PATIENCE)[0]:
            line = process.stdout.readline()
        if not line:
            self.end()
            raise ConnectionError("the head does not answer")
        said = json.loads(line)
        if "error" in said:
            raise ValueError(said["error"])
        return said["answer"]

    def end(self) -> None:
        """End the process; a question starts another one."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what was written may have nobody who reads it
                        pipe.close()
            self._process.kill()
            self._process.wait()
            self._process = None

    def _find(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        command = [sys.executable, "-m", f"{__package__}.control", self._address]
        with (self._head.folder / "control.log").open("ab") as log:
            self._process = self._head.enter(command, log)
        return self._process
