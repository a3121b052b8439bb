"""``eisen-serve doctor``: text, JSON, exit statuses."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys

import pytest

from eisen_deploy.serving.cli import doctor as command


@pytest.fixture
def run(doctor, capsys, monkeypatch):
    """Run the command in the doctor's environment: ``run(*arguments) -> (status, output)``."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in doctor.environment.items():
        monkeypatch.setenv(name, value)

    def _run(*arguments):
        parser = argparse.ArgumentParser()
        command.add_parser(parser.add_subparsers())
        status = command.run(parser.parse_args(["doctor", *map(str, arguments)]))
        return status, capsys.readouterr().out

    return _run


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nothing_wrong_is_status_0(doctor, run):
    status, output = run(doctor.write())
    assert status == 0, output
    assert output.splitlines()[0].split() == ["file", str(doctor.folder / "config.properties")]
    assert output.splitlines()[-1] == "nothing found"


def test_findings_are_status_1_worst_first(doctor, run):
    status, output = run(doctor.write(max_request_size="512MB", token_expiration_min=None))
    assert status == 1
    kinds = [line.partition(":")[0] for line in output.splitlines() if line.endswith("]")]
    assert kinds == sorted(kinds, key=["error", "warning"].index)
    assert kinds[0] == "error"
    assert "  remedy  token_expiration_min=525600" in output.splitlines()


def test_json_says_the_same(doctor, run):
    path = doctor.write(max_request_size=None)
    status, output = run("--json", path, "--models", "seg.mar")
    told = json.loads(output)
    assert (told["status"], told["target"]) == (status, str(path))
    by_name = {finding["name"]: finding for finding in told["findings"]}
    assert by_name["request-limit-stock"]["severity"] == "warning"
    assert set(by_name["archive-missing"]) == {"severity", "name", "found", "effect", "remedy"}
    assert all(isinstance(each, str) for each in told["unexamined"])


def test_a_file_that_is_not_there_is_status_2(doctor, run):
    status, output = run(doctor.folder / "nowhere.properties")
    assert status == 2
    assert "could not be examined" in output.splitlines()[-1]


def test_a_folder_without_a_file_means_the_defaults_of_torchserve(doctor, run):
    status, output = run(doctor.folder, "--model-store", doctor.store)
    assert status == 1
    assert "[request-limit-stock]" in output
    assert "[tokens-expire]" in output
    assert "everything is as TorchServe has it" in output


def test_a_server_that_is_not_there_is_status_2(run):
    status, output = run(f"http://127.0.0.1:{free_port()}", "--timeout", "2")
    assert status == 2
    assert "[unreachable]" in output


def test_an_invalid_address_is_status_2(run):
    assert run("gopher://localhost")[0] == 2
    assert run("http://localhost:99999")[0] == 2


@pytest.mark.parametrize(
    ("limits", "shown", "status"),
    [
        ("-Sn 300; ulimit -Hn 5000", "up to 5000: the server raises its limit from 300", 0),
        ("-n 1000", "up to 1000", 1),
    ],
)
def test_how_many_files_a_server_may_open(doctor, limits, shown, status):
    command = [sys.executable, "-m", "eisen_deploy.serving.cli", "doctor", str(doctor.write())]
    ended = subprocess.run(
        ["sh", "-c", f'ulimit {limits}; exec "$@"', "sh", *command],
        env=doctor.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status, ended.stdout
    assert shown in next(line for line in ended.stdout.splitlines() if "open files" in line)
    assert ("[open-files-few]" in ended.stdout) == bool(status)


def test_control_characters_are_not_printed(doctor, run):
    _, output = run(doctor.write("\x1b[31mred=1"))
    assert "\x1b" not in output
    assert "[property-unknown]" in output
