"""The same inputs give the same bytes: on another day, elsewhere, under other settings."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
RUNS = 12
NETS = """
import torch
from .blocks import conv
THRESHOLD = 0.0
class Base:
    pass
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv()
    def forward(self, x):
        return torch.relu(self.conv(x))
"""


def run(number, folder, library):
    """Pack once, from a copy of the script elsewhere, as another user on another day might."""
    chance = random.Random(number)
    project = folder / chance.choice("abc") / f"project {number}"
    (project / "nets").mkdir(parents=True)
    (project / "notes").mkdir()
    shutil.copyfile(SCRIPTS / "pack_whole.py", project / "pack_whole.py")
    (project / "nets" / "__init__.py").write_text(NETS)
    (project / "nets" / "blocks.py").write_text(
        "import torch\ndef conv():\n    return torch.nn.Conv2d(1, 2, 3, padding=1)\n"
    )
    for name in chance.sample(["one.txt", "two.txt", "three.txt"], 3):
        (project / "notes" / name).write_text(name)
        os.utime(project / "notes" / name, (chance.random() * 1e9,) * 2)
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(chance.randrange(2**32)),
        "TZ": chance.choice(["UTC", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"]),
        "LC_ALL": chance.choice(["C", "C.UTF-8", "POSIX"]),
        "LD_PRELOAD": str(library),
        "OTHER_DAY": str(chance.randrange(-10000, 10000) * 86400),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", project / "pack_whole.py", project / "out"],
        cwd=chance.choice([folder, project, Path("/")]),
        env=environment,
        umask=chance.choice([0o000, 0o022, 0o077]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


@pytest.mark.slow  # a minute or two
def test_many_runs_give_one_digest(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to move the clock with")
    library = tmp_path / "other_day.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, SCRIPTS / "other_day.c", "-ldl"], check=True
    )
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda number: run(number, tmp_path, library), range(RUNS)))
    days, digests = zip(*results, strict=True)
    assert len(set(days)) > RUNS // 2
    assert len(set(digests)) == 1
