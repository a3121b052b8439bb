"""A run that is refused leaves nothing behind, whenever that is found out."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.serving.engines.torchserve.launcher import free_ports

COMMAND = [sys.executable, "-m", "eisen_deploy.serving.cli"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    packer = EisenServingMAR(None, None, {})
    for name, serving in {"one": None, "two": {"workers": 2}}.items():
        packer.pack(torch.nn.Identity(), folder, name, "1", serving=serving)
    return folder


def refuse(folder, *arguments, **variables):
    """Run ``eisen-serve run``, which does not start a server; return what it complains of."""
    flags = ("--port", "--management-port", "--metrics-port")
    ports = [part for pair in zip(flags, free_ports(3)) for part in pair]
    command = [*COMMAND, "run", *arguments, *ports, "--folder", folder / "server"]
    ended = subprocess.run(
        list(map(str, command)),
        env={"PATH": "/nowhere", "TMPDIR": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def left_in(folder):
    return [path.name for path in folder.iterdir() if not path.is_file()]


def test_without_any_java(zoo, tmp_path):
    (tmp_path / "torchserve").touch()
    python = tmp_path / "python"  # it has all but a Java
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (line,) = refuse(tmp_path, zoo / "one.mar", "--python", python)
    assert line.startswith("eisen-serve: no Java 17 or later: java on the path does not run")
    assert left_in(tmp_path) == []


def test_with_options_that_do_not_go_with_the_archives(zoo, tmp_path):
    long, numbers = refuse(tmp_path, zoo, "--engine", "ray", "--workers", "3")
    assert "too long for Ray's sockets" in long
    assert "--workers 3: two says 2, and others nothing" in numbers
    assert left_in(tmp_path) == []
