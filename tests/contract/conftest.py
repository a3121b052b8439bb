"""Every distribution, built as for a release."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
from distributions import VERSION_LINE, version_in  # noqa: E402

DISTRIBUTIONS = ("client", "handler", "packaging")


def build(source: Path, target: Path) -> None:
    """Build sdist and wheel of a source folder into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel"]
    subprocess.run([*command, "-d", target], cwd=source, check=True, capture_output=True)


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdists and wheels of all four distributions."""
    folder = tmp_path_factory.mktemp("dist")
    for name in DISTRIBUTIONS:
        build(ROOT / "packages" / name, folder)
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="session")
def without_index(dist: Path, kept_wheels: Callable[..., dict[str, str]]) -> dict[str, str]:
    """Settings with which pip installs what our distributions require, and needs no index."""
    folders = (ROOT, *(ROOT / "packages" / name for name in DISTRIBUTIONS))
    key = [(folder / "pyproject.toml").read_text() for folder in folders]

    def download(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "--quiet", "download", "--dest", folder]
        pins = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "tools" / "constraints.txt")}
        subprocess.run([*command, *dist.glob("*.whl")], check=True, env=pins)
        for ours in folder.glob("eisen_deploy*"):
            ours.unlink()  # each run builds its own

    return kept_wheels("required", key, download)


@pytest.fixture(scope="session")
def bumped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Build a distribution as its next minor version: ``bumped("client") -> wheel``."""

    def _bumped(name: str) -> Path:
        packages = tmp_path_factory.mktemp("bumped") / "packages"
        shutil.copytree(ROOT / "packages", packages, symlinks=True)
        project = packages / name / "pyproject.toml"
        version = version_in(ROOT, name)
        later = f'version = "{version.major}.{version.minor + 1}.0"'
        project.write_text(VERSION_LINE.sub(later, project.read_text()))
        build(packages / name, packages / "dist")
        return next((packages / "dist").glob("*.whl"))

    return _bumped
