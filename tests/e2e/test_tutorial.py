"""The tutorial, typed as it is printed: from an empty folder to a mask, with its errors.

``TYPE_SET_UP=1``, as ``nox -s tutorial`` sets it, types the installation as well. Otherwise the
environment of the tests stands for the one that the page installs.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import dropwhile
from pathlib import Path

import nibabel
import numpy as np
import pytest

from eisen_deploy.serving.engines.torchserve.launcher import free_ports

from .running_command import READY
from .typed_terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from documented_pages import is_printed, read_blocks  # noqa: E402

TYPES_SET_UP = bool(os.environ.get("TYPE_SET_UP"))
REPOSITORY = "https://github.com/eisen-ai/eisen-deploy"
#: Seconds for one command; the longest builds the distributions.
LIMIT = 900 if TYPES_SET_UP else 120


@pytest.fixture
def temporary():
    folder = Path(tempfile.mkdtemp(prefix="es-tutorial-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def variables(temporary):
    """What a reader has: a package index, and the repository, which here is this checkout."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("EISEN_")}
    own.pop("PYTHONPATH", None)
    replaced = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf"}
    return {
        **own,
        **replaced,
        "GIT_CONFIG_VALUE_0": REPOSITORY,
        "PIP_CONSTRAINT": str(ROOT / "tools" / "constraints.txt"),
        "TMPDIR": str(temporary),
        "XDG_CONFIG_HOME": str(temporary / "none"),
    }


@pytest.fixture
def blocks(tmp_path):
    """The blocks of the page, with a free port; those of the installation only if it is typed."""
    blocks = list(read_blocks("tutorial"))
    if TYPES_SET_UP:
        return blocks
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    return list(dropwhile(lambda block: not block.caption, blocks))


@pytest.fixture
def follow(blocks, variables, tmp_path):
    """Do what each block says, and compare what is printed with what the page shows."""
    (port,) = map(str, free_ports(1))

    def open_terminal(stack):
        return stack.enter_context(Terminal(tmp_path, variables))

    def type_steps(terminal, steps):
        """Return whether the last command goes on running."""
        for step, following in zip(steps, [*steps[1:], None]):
            until = READY if step.output.endswith(f"{READY}\n") else None
            command = step.command.replace("8080", port)
            printed, status = terminal.type(command, LIMIT, until)
            shown = step.output.replace("8080", port)
            assert is_printed(shown, printed), f"$ {command}\n{printed}\nexpected:\n{shown}"
            fails = following is not None and following.command == "echo $?"
            assert (status != 0) == fails, f"$ {command}\n{printed}\nexit status {status}"
        return until is not None

    def _follow():
        with ExitStack() as stack:
            terminal = open_terminal(stack)
            if not TYPES_SET_UP:
                terminal.type("source .venv/bin/activate", LIMIT)
            for block in blocks:
                if block.caption:
                    (tmp_path / block.caption).write_text(block.text, "utf-8")
                elif type_steps(terminal, block.steps):
                    terminal = open_terminal(stack)

    return _follow


def read(path):
    image = nibabel.load(path)
    return np.asanyarray(image.dataobj), image.affine


def dice(mask, truth):
    return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))


def test_the_tutorial_leads_from_an_empty_folder_to_a_mask(follow, temporary, tmp_path):
    start = time.monotonic()
    follow()
    assert time.monotonic() - start < 15 * 60
    assert not list(temporary.glob("eisen*"))

    truth, affine = read(tmp_path / "truth.nii.gz")
    served, its_affine = read(tmp_path / "served.nii.gz")
    np.testing.assert_array_equal(its_affine, affine)
    assert served.shape == truth.shape
    unseen = np.s_[:, :, 48:]
    head, _ = read(tmp_path / "head.nii.gz")
    found, easy = (dice(each[unseen] > 0, truth[unseen] > 0) for each in (served, head))
    assert found > max(easy, 0.96)
    without_server, _ = read(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(served, without_server)
