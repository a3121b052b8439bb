"""What ``eisen-serve config`` writes has neither errors nor warnings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eisen_deploy.serving.doctor import examine_configuration

pytestmark = pytest.mark.torchserve


@pytest.mark.parametrize("options", [[], ["--token-auth"], ["--max-body", "64MiB"]])
def test_it_is_sound(doctor, server_python, options):
    archives = [doctor.pack(), doctor.pack("brain")]
    folder = doctor.folder / "server"
    command = [sys.executable, "-m", "eisen_deploy.serving.cli", "config", *archives, *options]
    subprocess.run([*command, "--python", server_python, "-o", folder], check=True)
    environment = {**doctor.environment, "TEMP": str(folder)}
    report = examine_configuration(
        folder / "config.properties",
        environment=environment,
        model_store=doctor.store,
        models=("seg.mar", "brain.mar"),
        python=str(server_python),
    )
    assert report.findings == []
    assert report.unexamined == []
