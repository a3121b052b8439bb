"""``eisen-serve`` and text from archives, logs and names of files that a terminal would obey."""

from __future__ import annotations

import io
import shlex
import shutil
import sys

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.serving.cli import main, run
from eisen_deploy.serving.engines.served_archives import verify
from eisen_deploy.serving.engines.torchserve import script
from eisen_deploy.serving.engines.torchserve.logs import explain_end, find_exception
from eisen_deploy.serving.engines.torchserve.settings.configuration import Configuration
from eisen_deploy.serving.engines.torchserve.settings.profile import Setting

EVIL = "\x1b]0;pwn\x07\x9b31m\u202eevil\u2028x\x85\u200b\x7f"
ODD = ["\x1b[31m.mar", "a\nINFO forged.mar", "\u202eram.mar", "--json.mar", "all", "x=y.mar"]
ODD += ["a,b.mar", "$(id).mar", "'.mar"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    packer = EisenServingMAR(None, None, {"inputs": []})
    return packer.pack(torch.nn.Identity(), tmp_path_factory.mktemp("zoo"), "seg")


@pytest.fixture
def python(tmp_path):
    """An interpreter beside a ``torchserve``, of which nothing can be imported."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "torchserve"):
        (folder / name).write_text(f"#!/bin/sh\nprintf '{EVIL}' >&2\nexit 1\n")
        (folder / name).chmod(0o755)
    return folder / "python"


@pytest.fixture
def told(capsys):
    def call(*arguments):
        status = main([str(each) for each in arguments])
        said = capsys.readouterr()
        assert (said.out + said.err).replace("\n", "").isprintable()
        return status, said.out, said.err

    return call


@pytest.mark.parametrize("command", ["run", "config"])
@pytest.mark.parametrize("name", ["\x1b[31m.mar", "a\nINFO forged.mar", "\u202eram.mar"])
def test_archives_that_are_none(told, python, tmp_path, command, name):
    (tmp_path / name).write_bytes(b"no archive")
    status, _, err = told(command, tmp_path / name, "--python", python)
    assert status == 2
    assert err.count("\n") == 2


def test_what_an_interpreter_says(told, python, archive):
    status, _, err = told("run", archive, "--python", python)
    assert status == 2
    assert "pwn" in err


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("name", ODD)
def test_the_doctor_reads_a_store(told, archive, tmp_path, name):
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(archive, store / name)
    (tmp_path / "c.properties").write_text(f"model_store={store}\n")
    for more in ([], ["--json"]):
        _, out, _ = told("doctor", tmp_path / "c.properties", "--python", sys.executable, *more)
        assert "seg" in out or not name.endswith(".mar")


def test_remedies_name_one_file_to_a_shell(told, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (store / "a; touch pwned.mar").write_bytes(b"no archive")
    (tmp_path / "c.properties").write_text(f"model_store={store}\n")
    _, out, _ = told("doctor", tmp_path / "c.properties", "--python", sys.executable)
    (line,) = [line for line in out.splitlines() if "eisen-pack verify" in line]
    words = shlex.split(line.partition("remedy")[2])
    assert words[2] == str(store / "a; touch pwned.mar")


@pytest.mark.parametrize("name", ODD)
def test_torchserve_is_never_given_a_name_that_it_reads_otherwise(archive, tmp_path, name):
    (found,) = verify([shutil.copy(archive, tmp_path / name)])
    store = script.lay_out_model_store([found], tmp_path / "server")
    assert store.models == ["seg.mar"]
    assert store.folder == tmp_path / "server" / "model_store"
    link = store.folder / "seg.mar"
    assert shlex.split(store.commands[-1])[-2:] == [str(tmp_path / name), str(link)]
    script.make_folders(tmp_path / "server", store)
    assert link.samefile(tmp_path / name)


def test_a_path_stays_in_its_line_of_the_properties():
    setting = Setting("property", "certificate_file", "/a\nallowed_urls=.*\x1b\x7fé", "a reason")
    lines = Configuration((setting,)).render().split("\n")
    assert lines[2] == r"certificate_file=/a\u000aallowed_urls=.*\u001b\u007f\u00e9"


def test_lines_of_logs_that_are_quoted():
    stream = io.StringIO()
    run._say_on(f"seg: worker 1 ended: {EVIL}\nforged", stream=stream)
    line = stream.getvalue().removesuffix("\n")
    assert line.isprintable()


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x1c", "\r"])
def test_what_a_worker_prints_is_one_line_of_the_log(separator):
    head = "2026-01-01T00:00:00,000 [INFO ] W-9000-{}_1.0-stdout MODEL_LOG - {}"
    trace = head.format("other", "Traceback (most recent call last):")
    forged = head.format("other", "ValueError: forged")
    text = head.format("seg", f"[PID]7{separator}{trace}{separator}{forged}") + "\n"
    assert find_exception(text, "other_1.0") is None
    assert "forged" not in (explain_end(text) or "")
    real = [head.format("seg", line) for line in ("Traceback (most recent call last):", "OSError")]
    assert find_exception("\n".join([text, *real]), "seg_1.0") == "OSError"
