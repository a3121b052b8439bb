"""What a server's environment lacks is said without importing torch, unless it may find GPUs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eisen_deploy.serving.engines.environment.probes import UnfitEnvironment, check


@pytest.fixture
def environment(tmp_path):
    """Return an interpreter of its own; ``environment(cuda)`` gives it a torch that counts GPUs."""

    def _environment(cuda):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
        [packages] = tmp_path.glob("lib/python*/site-packages")
        torch = packages / "torch"
        torch.mkdir()
        (torch / "version.py").write_text(f"cuda = {cuda!r}\nhip = None\n")
        (torch / "__init__.py").write_text(
            f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\n"
            "class cuda:\n    device_count = staticmethod(lambda: 3)\n"
        )
        return str(tmp_path / "bin" / "python")

    return _environment


@pytest.mark.parametrize(("cuda", "gpus"), [(None, 0), ("12.8", 3)])
def test_only_a_torch_that_is_built_for_gpus_is_imported(environment, tmp_path, cuda, gpus):
    assert check(environment(cuda), {"torch": "torch"}).gpus == gpus
    assert (tmp_path / "imported").exists() == bool(gpus)


def test_this_environment():
    import torch

    assert check(sys.executable, {"torch": "torch"}).gpus == torch.cuda.device_count()


def test_what_is_missing_is_named_with_what_installs_it(environment):
    python = environment(None)
    wanted = {"torch": "torch", "numpy": "numpy", "yaml": "PyYAML", "ts.service": "torchserve"}
    with pytest.raises(UnfitEnvironment) as caught:
        check(python, wanted)
    assert str(caught.value) == (
        "the server's environment lacks numpy (ModuleNotFoundError: No module named 'numpy'); "
        f"PyYAML (ModuleNotFoundError: No module named 'yaml'): {python} -m pip install "
        "numpy PyYAML"
    )
    with pytest.raises(UnfitEnvironment, match=r"lacks torchserve .*No module named 'ts'"):
        check(python, {"torch": "torch", "ts.service": "torchserve"})


def test_an_interpreter_that_does_not_run_is_named(tmp_path):
    missing = str(Path(tmp_path, "python"))
    with pytest.raises(UnfitEnvironment, match=f"{missing} cannot be run"):
        check(missing, {"torch": "torch"})
