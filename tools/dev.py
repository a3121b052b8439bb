"""Run a task of this repository on a machine that has only Python 3.10 or later.

``python3 tools/dev.py quickstart`` makes a private environment with nox (once) and runs the session
``quickstart`` of ``noxfile.py``; ``python3 tools/dev.py`` alone lists the sessions.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".nox" / "nox"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REQUIREMENT = "nox==2026.10.20"


def main(arguments: list[str]) -> int:
    """Run the nox sessions with these names; arguments that begin with a dash go to nox."""
    if not is_installed():
        install()
    if not arguments:
        options = ["--list"]
    elif arguments[0].startswith("-"):
        options = arguments
    else:
        options = ["--session", *arguments]
    return subprocess.call([PYTHON, "-m", "nox", *options], cwd=ROOT)


def is_installed() -> bool:
    """Whether the environment exists and is complete."""
    probe = [str(PYTHON), "-c", "import nox"]
    return PYTHON.exists() and subprocess.run(probe, check=False).returncode == 0


def install() -> None:
    """Make the environment with nox."""
    print("setting up nox in", ENVIRONMENT.relative_to(ROOT), flush=True)
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    subprocess.check_call([PYTHON, "-m", "pip", "install", "--quiet", REQUIREMENT])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
