"""The settings of a workstation: the command line, then variables, then the file."""

from __future__ import annotations

import json

import pytest

from eisen_deploy.client.cli import settings


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write the file of settings: ``file("url = ...")``."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setenv("APPDATA", str(folder))

    def write(*lines, section="[eisen-client]"):
        path = folder / "eisen-client.ini"
        path.write_text("\n".join([section, *lines]), "utf-8")
        return path

    return write


def test_the_file_is_used_and_a_variable_comes_first_and_the_command_line_before_it(
    model, file, run, monkeypatch
):
    first, second, third = (
        model(inputs={name: [-1, 1]}) for name in ("of_the_file", "variable", "line")
    )
    file(f"url = {first.url}")
    assert "of_the_file" in run("metadata")[1]
    monkeypatch.setenv("EISEN_URL", second.url)
    assert "variable" in run("metadata")[1]
    assert "line" in run("metadata", third.url)[1]


def test_paths_in_the_file_begin_at_its_folder(file):
    path = file("ca = certificates/ca.pem", "token_file = /etc/token")
    found = settings.read_settings()
    assert found["ca"].value == str(path.parent / "certificates" / "ca.pem")
    assert found["token_file"].value == "/etc/token"


@pytest.mark.parametrize(
    ("lines", "section", "said"),
    [
        (["timeout = 3"], "[eisen-client]", "token_file, ca, cert, key, got timeout"),
        (["url = x"], "[eisen]", "got eisen"),
        (["what"], "[eisen-client]", "NAME = VALUE"),
        (["url = x", "url = y"], "[eisen-client]", "already exists"),
    ],
)
def test_a_file_that_says_something_else_is_refused(file, run, lines, section, said):
    path = file(*lines, section=section)
    status, _, complaint = run("metadata", "http://127.0.0.1:1/predictions/seg")
    assert status == 2
    assert str(path) in complaint
    assert said in complaint


def test_the_systems_authorities_are_no_path(file):
    file("ca = system")
    assert settings.read_settings()["ca"].value == "system"


def test_a_certificate_that_is_not_there_is_named_by_its_source(file, run, monkeypatch):
    path = file("ca = ca.pem")
    url = "https://127.0.0.1:1/predictions/seg"
    assert f"ca in {path} {path.parent}/ca.pem: there is no such file" in run("wait", url)[2]
    monkeypatch.setenv("EISEN_CERT", "cert.pem")
    monkeypatch.setenv("EISEN_CA", "")
    assert "EISEN_CERT cert.pem: there is no such file" in run("wait", url, "--no-verify")[2]


def test_without_an_address_both_ways_to_set_it_are_named(file, run):
    status, _, complaint = run("metadata")
    assert status == 2
    assert "EISEN_URL" in complaint
    assert "eisen-client.ini" in complaint


def test_a_named_file_has_to_be_there(run, monkeypatch, tmp_path):
    monkeypatch.setenv("EISEN_CONFIG", str(tmp_path / "none.ini"))
    assert run("metadata")[0] == 2


def test_the_token_of_the_environment_comes_before_the_file_s(model, file, run, monkeypatch):
    server = model()
    (file("token_file = token").parent / "token").write_text("from-file")
    run("metadata", "--json", server.url)
    monkeypatch.setenv("EISEN_TOKEN", "from-environment")
    status, printed, _ = run("metadata", "--json", server.url)
    assert status == 0
    assert json.loads(printed)
    assert [head.headers["authorization"] for head in server.seen] == [
        "Bearer from-file",
        "Bearer from-environment",
    ]
