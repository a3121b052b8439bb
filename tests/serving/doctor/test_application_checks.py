"""Checks of uvicorn: of what our application answers, and of a script that starts it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from eisen_deploy.serving.cli import doctor as command
from eisen_deploy.serving.doctor import ERROR, WARNING, examine_server
from eisen_deploy.serving.doctor.checks import application, uvicorn_script
from eisen_deploy.serving.doctor.facts.application import Application
from eisen_deploy.serving.doctor.facts.certificate import Certificate
from eisen_deploy.serving.doctor.facts.uvicorn_script import UvicornScript
from eisen_deploy.serving.engines.environment.probes import Python
from eisen_deploy.serving.engines.machine import Machine, OpenFiles
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.engines.torchserve.calls import Answer, Endpoint
from eisen_deploy.serving.engines.uvicorn.script import read_script, render_script
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions

LOCAL, FAR = Endpoint("http", "127.0.0.1", 8080), Endpoint("http", "10.1.2.3", 8080)
REFUSED = Answer(401, b'{"code": 401, "type": "Unauthorized", "message": "..."}')
LIBRARIES = {"uvicorn": "0.54.0", "httptools": "0.9.0", "uvloop": "0.23.0"}
DECLARED = {"inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 1000, 1000]}]}
METADATA = Answer(200, json.dumps(DECLARED).encode())


def about(**libraries):
    said = {"name": "eisen-serve", "libraries": {**LIBRARIES, **libraries}}
    return Answer(200, json.dumps(said).encode())


GOOD = Application(LOCAL, REFUSED, about(), Answer(200), None, None, {"seg": METADATA}, 300_000_000)


def found(**changes):
    server = dataclasses.replace(GOOD, **changes)
    checks = application.AREA.checks
    return {each.name: each.severity for check in checks for each in check.findings(server)}


SILENT = {"seg": Answer(0, reason="no answer in 5 s")}
FOUND = {
    "application-open": (ERROR, {"endpoint": FAR, "about": about()}),
    "application-clear-text": (WARNING, {"endpoint": FAR}),
    "application-distrusted": (WARNING, {"certificate": Certificate("untrusted", "no issuer")}),
    "application-refuses-token": (ERROR, {"known": Answer(401, REFUSED.body)}),
    "application-not-ready": (ERROR, {"ready": Answer(503)}),
    "application-model-silent": (ERROR, {"models": SILENT}),
    "application-limit-too-small": (ERROR, {"limit": 3_999_999}),
    "application-slow": (WARNING, {"known": about(uvloop=None)}),
}


def test_a_good_server_has_no_findings():
    assert found() == {}


@pytest.mark.parametrize("name", FOUND)
def test_it_is_found(name):
    severity, changes = FOUND[name]
    assert found(**changes)[name] == severity


def test_every_check_has_a_case():
    assert {check.name for check in application.AREA.checks} == FOUND.keys()


def test_open_is_found_where_others_reach_it():
    assert "application-open" not in found(about=about())
    assert found(about=about(), outside=FAR)["application-open"] == ERROR


ARCHIVE = ServedArchive("seg.mar", "seg", "1", "0" * 64, ServingOptions(), False, None, "seg")
NEEDED = dict.fromkeys(["torch", "uvicorn", "uvloop"], "1.0")
SCRIPT = UvicornScript(
    "uvicorn.sh",
    Options(),
    Machine(4, 2**34, 0),
    (ARCHIVE,),
    (),
    Python("python", "3.11.7", NEEDED),
    OpenFiles(1024, 2**20),
)
SAMPLED = dataclasses.replace(ARCHIVE, sample=(b"x" * 1000, {}))
LACKING = Python("python", "3.11.7", {**NEEDED, "uvicorn": None})
IN_SCRIPT = {
    "script-refused": (ERROR, {"options": Options(tls_cert="cert.pem")}),
    "script-open": (ERROR, {"options": Options(host="0.0.0.0")}),
    "script-clear-text": (WARNING, {"options": Options(host="0.0.0.0", token_auth=True)}),
    "script-package-missing": (ERROR, {"python": LACKING}),
    "script-archive-damaged": (ERROR, {"damaged": ("seg.mar: model.pt was changed",)}),
    "script-limit-too-small": (ERROR, {"options": Options(max_body=9), "archives": (SAMPLED,)}),
    "script-bodies-exceed-memory": (WARNING, {"options": Options(max_body=2**50)}),
    "script-open-files-few": (WARNING, {"open_files": OpenFiles(512, 1024)}),
    "script-workers-exceed-cores": (WARNING, {"options": Options(workers=5, max_body=1000)}),
}


def found_in_script(**changes):
    script = dataclasses.replace(SCRIPT, **changes)
    checks = uvicorn_script.AREA.checks
    return {each.name: each.severity for check in checks for each in check.findings(script)}


def test_a_good_script_has_no_findings():
    assert found_in_script() == {}


@pytest.mark.parametrize("name", IN_SCRIPT)
def test_it_is_found_in_a_script(name):
    severity, changes = IN_SCRIPT[name]
    assert found_in_script(**changes)[name] == severity


def test_every_check_of_a_script_has_a_case():
    assert {check.name for check in uvicorn_script.AREA.checks} == IN_SCRIPT.keys()


def test_uvloop_is_not_needed():
    lacking = Python("python", "3.11.7", {**NEEDED, "uvloop": None})
    assert found_in_script(python=lacking) == {"script-package-missing": WARNING}


@pytest.fixture
def script(tmp_path):
    """A script that would serve an archive that is not there."""
    path = tmp_path / "uvicorn.sh"
    options = Options(workers=2, token_auth=True)
    archive = dataclasses.replace(ARCHIVE, path=tmp_path / "it's.mar")
    path.write_text(render_script(archive, options, 0, sys.executable, insecure=False))
    return path


def test_a_script_is_read_as_it_was_written(script):
    given = read_script(script.read_text())
    assert given[0] == str(script.parent / "it's.mar")
    assert "--token-auth" in given
    assert read_script("#!/bin/sh\nexec torchserve --start\n") is None


def test_the_command_examines_a_script_or_the_folder_with_it(script):
    doctor = [sys.executable, "-m", "eisen_deploy.serving.cli", "doctor", "--json"]
    asked = subprocess.run([*doctor, script.parent], capture_output=True, text=True, check=False)
    report = json.loads(asked.stdout)
    assert asked.returncode == 1
    assert [each["name"] for each in report["findings"]] == ["script-archive-damaged"]
    facts = {each["name"]: each["value"] for each in report["facts"]}
    assert facts["tokens"] == "on"
    assert "uvicorn " in facts["python"]


def test_the_folder_of_a_running_server_is_not_examined_as_torchserve_s(tmp_path, capsys):
    (tmp_path / "workers.log").touch()
    parser = command.argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    assert command.run(parser.parse_args(["doctor", str(tmp_path)])) == 2
    assert "examine its URL" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["workers.log"]  # noqa: PTH208


def test_nothing_that_listens_is_examined_as_before():
    report = examine_server("http://127.0.0.1:1", timeout=0.5)
    assert [each.name for each in report.findings] == ["unreachable"]
