"""A virtual environment for each system, made once and kept while its requirements are the same."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "benchmark"
CONSTRAINTS = ROOT / "tools" / "constraints.txt"
_EDITABLE = "--editable="


def interpreter(name: str, requirements: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with exactly these requirements.

    Without requirements it is the interpreter that runs this program.

    :param requirements: as pip takes them; ``--editable=FOLDER`` is relative to the repository.
    """
    if not requirements:
        return Path(sys.executable)
    folder = FOLDER / f"{name}-{_digest(requirements)}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        for old in FOLDER.glob(f"{name}-*"):
            shutil.rmtree(old)
        print(f"installing {name}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--quiet", *requirements]
        environment = {**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS)}
        environment.pop("PYTHONPATH", None)
        subprocess.run(command, check=True, env=environment, cwd=ROOT)
        (folder / "complete").touch()
    return python


def versions(python: Path, distributions: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of distributions in an environment."""
    program = (
        "import json, sys; from importlib.metadata import version; "
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    text = subprocess.check_output([python, "-c", program, *distributions], text=True)
    found: dict[str, str] = json.loads(text)
    return found


def _digest(requirements: tuple[str, ...]) -> str:
    projects = [each[len(_EDITABLE) :].partition("[")[0] for each in requirements if _is_ours(each)]
    files = [CONSTRAINTS, *(ROOT / project / "pyproject.toml" for project in projects)]
    what = [sys.version, *(file.read_text("utf-8") for file in files), *requirements]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()[:12]


def _is_ours(requirement: str) -> bool:
    return requirement.startswith(_EDITABLE)
