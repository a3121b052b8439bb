"""Scripts of users' habits: the archive answers as the script does, or packing says what to do.

Each file of ``habits`` is a script that defines ``PRE``, ``POST``, ``MODEL``, ``METADATA`` and
``REQUESTS``, answered in this order. It may define

* ``REFUSED``: a part of the sentence that packing says instead;
* ``VARIES``: that it answers one request in another way each time, which no sample can prove;
* ``SAMPLE``: the sample, where that is not its first request;
* ``PACK``: further arguments of ``pack``;
* ``HELD``: locks that somebody holds while it is packed without a sample.

It runs as ``__main__`` in a process of its own; then a process that has torch, numpy and the
archive answers. An archive that has a sample has answered that before.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

HERE = Path(__file__).resolve().parent
RUN = HERE / "scripts" / "run_habits.py"
PACKAGES = str(Path(torch.__file__).parents[1])
HABITS = sorted(path.stem for path in (HERE / "habits").glob("*.py"))
GROUP = 6
#: Packed without a sample as well; all of them take minutes more: ``FAULT_STRIDE=1``.
PLAIN = HABITS[:: 1 if os.environ.get("FAULT_STRIDE") == "1" else 4]
CASES = [*((name, "sampled") for name in HABITS), *((name, "plain") for name in PLAIN)]


def run(mode: str, folder: Path, names: list[str], kinds: str) -> None:
    options = ["-I", "-S"] if mode == "answer" else []
    done = subprocess.run(
        [sys.executable, *options, RUN, mode, folder, *names],
        env={**os.environ, "KINDS": kinds, "SERVER_PACKAGES": PACKAGES, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def outcome(folder: Path, name: str, step: str):
    return pickle.loads((folder / f"{name}.{step}").read_bytes())


def check(folder: Path, name: str, kind: str) -> None:
    """Compare what the archive of a habit answers with what its script does."""
    _, refused = outcome(folder, name, f"{kind}.refused")
    how, what = outcome(folder, name, f"{kind}.packed")
    if refused is not None:
        assert how in ("NotSerializable", "UnsupportedModel", "UnresolvedCode", "ProofFailed"), what
        assert refused in what
        return
    assert how == "value", f"not packed: {how}: {what}"
    how, local = outcome(folder, name, f"{kind}.expected")
    assert how == "value", f"the script itself: {how}: {local}"
    how, served = outcome(folder, name, f"{kind}.answered")
    assert how == "value", f"not answered: {how}: {served}"
    assert len(local) == len(served) > 0
    for there, here in zip(served, local, strict=True):
        assert isinstance(there, dict), there
        assert sorted(there) == sorted(here)
        for key, value in here.items():
            np.testing.assert_array_equal(there[key], value)


@pytest.fixture(scope="module")
def all_habits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("all_habits")
    groups = [
        (names[start : start + GROUP], kind)
        for names, kind in ((HABITS, "sampled"), (PLAIN, "plain"))
        for start in range(0, len(names), GROUP)
    ]
    with ThreadPoolExecutor(2) as pool:
        for mode in ("pack", "answer"):
            list(pool.map(lambda group, m=mode: run(m, folder, *group), groups))
    return folder


@pytest.mark.slow  # minutes: two archives of each, and processes that prove them
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_habit_is_answered_as_in_its_script_or_refused(all_habits, name, kind):
    check(all_habits, name, kind)
