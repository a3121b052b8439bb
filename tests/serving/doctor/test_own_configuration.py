"""What ``eisen-serve config`` writes has neither errors nor warnings."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from eisen_deploy.serving.doctor import examine_configuration
from eisen_deploy.serving.engines.torchserve.engine import CONFIG

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


@pytest.mark.parametrize("target", ["", "config.properties", "torchserve.sh"])
@pytest.mark.parametrize("is_apart", [False, True])
def test_the_folder_says_how_it_is_used(doctor, server_python, tmp_path, is_apart, target):
    """Nothing but the folder is named, and the environment knows of nothing."""
    archives = [doctor.pack(), doctor.pack("brain")]
    if is_apart:  # then its model store has links to them
        (tmp_path / "apart").mkdir()
        archives[1] = archives[1].rename(tmp_path / "apart" / "brain.mar")
    folder = doctor.folder / "server"
    program = [sys.executable, "-m", "eisen_deploy.serving.cli"]
    command = [*program, "config", *archives, "--max-body", "64MiB", "--token-auth"]
    subprocess.run([*command, "--python", server_python, "-o", folder], check=True)
    environment = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": ""}
    environment["JAVA_HOME"] = str(tmp_path / "stale")  # the script sets its own
    ended = subprocess.run(
        [*program, "doctor", "--json", folder / target],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["findings"], told["unexamined"]) == (0, [], [])
    facts = [tuple(fact.values()) for fact in told["facts"]]
    assert [value.partition(":")[0] for name, value in facts if name == "archive"] == (
        ["seg.mar", "brain.mar"]
    )
    assert any(name == "python" and "torchserve 0.12" in value for name, value in facts)


def test_a_script_beside_another_file_is_not_its_own(doctor):
    given = f"--ts-config /elsewhere/{CONFIG} --model-store store --models seg.mar"
    (doctor.folder / "torchserve.sh").write_text(f"exec torchserve --start {given}")
    command = [sys.executable, "-m", "eisen_deploy.serving.cli", "doctor", doctor.write()]
    ended = subprocess.run(
        command, env=doctor.environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout.splitlines()[0].split() == ["file", str(doctor.folder / CONFIG)]
    assert ended.returncode == 0, ended.stdout
