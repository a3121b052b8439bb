"""``eisen-pack`` as a process: statuses, help, bars on a terminal only, signals, pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from eisen_deploy.packaging.cli import build, main
from eisen_deploy.packaging.cli.output import format_section

COMMAND = [sys.executable, "-W", "error", "-m", "eisen_deploy.packaging.cli"]


@pytest.fixture
def archive(packer, tmp_path):
    return packer.pack(torch.nn.Identity(), tmp_path / "zoo")


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["inspect", "-h"]])
def test_help_has_an_example(arguments, capsys):
    assert main(arguments) == 0
    assert "example" in capsys.readouterr().out


def test_every_command_has_help_with_an_example(capsys):
    for command in ("build", "inspect", "verify", "predict", "diff"):
        assert main([command, "--help"]) == 0
        assert f"eisen-pack {command} " in capsys.readouterr().out.partition("example")[2]


def test_the_version(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == (
        f"eisen-pack (eisen-deploy-packaging) {version('eisen-deploy-packaging')}\n"
    )


@pytest.mark.parametrize("arguments", [[], ["pack"], ["inspect"], ["diff", "a.mar"], ["--no"]])
def test_wrong_arguments(arguments, capsys):
    assert main(arguments) == 2
    assert "usage: eisen-pack" in capsys.readouterr().err


def test_the_traceback_is_there_if_it_is_asked_for(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "no.mar")]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main(["inspect", "--debug", str(tmp_path / "no.mar")]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_unexpected_error_is_one_line_too(monkeypatch, capsys):
    monkeypatch.setattr(build, "read_recipe", lambda _: {}["key"])
    assert main(["build", "x.py"]) == 2
    assert capsys.readouterr().err == (
        "eisen-pack: unexpected KeyError: 'key' (--debug shows where)\n"
    )


def test_an_error_does_not_command_the_terminal(capsys):
    assert main(["inspect", "\x1b[2J.mar"]) == 2
    err = capsys.readouterr().err
    assert r"\x1b[2J.mar" in err
    assert "\x1b" not in err


def test_handlers_of_signals_are_as_before(archive):
    def own(*_):
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        main(["inspect", str(archive)])
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_encoding_that_lacks_a_character(packer, tmp_path):
    from eisen_deploy.packaging import EisenServingMAR

    path = EisenServingMAR(None, None, {"note": "größe"}).pack(torch.nn.Identity(), tmp_path)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*COMMAND, "inspect", path], env=environment, capture_output=True, check=True, timeout=60
    )
    assert rb'"gr\xf6\xdfe"' in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes")
def test_a_reader_that_goes_away(archive):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "inspect", archive],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


# --- bars ---------------------------------------------------------------------------------


def in_terminal(*arguments):
    """Run in a terminal, and return all that it showed and the status."""
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    done = subprocess.run(
        [sys.executable, "-c", script, *COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.stdout.decode(), done.returncode


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals")
def test_progress_bars_appear_on_a_terminal_and_not_in_a_pipe(archive):
    shown, status = in_terminal("verify", "--no-run", archive)
    assert status == 0
    assert "\runpack:   0%|" in shown
    piped = subprocess.run(
        [*COMMAND, "verify", "--no-run", archive], capture_output=True, check=True, timeout=60
    )
    assert piped.stderr == b""
    assert b"\r" not in piped.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals")
def test_a_bar_is_gone_when_its_step_is_done(archive):
    shown, _ = in_terminal("verify", "--no-run", archive)
    lines = [line.rpartition("\r")[2] for line in shown.replace("\r\n", "\n").split("\n")]
    assert lines[0].startswith("structure ")


# --- signals ------------------------------------------------------------------------------


@pytest.mark.slow  # a second or two
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(
    ("number", "status", "told"),
    [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "eisen-pack: interrupted\n")],
)
def test_a_signal_leaves_nothing_behind(tmp_path, started_command, number, status, told):
    """It comes while the archive is being staged: a transform's pickling waits for it."""
    (tmp_path / "recipe.py").write_text(
        textwrap.dedent(
            """
            import pathlib, time, torch

            class Slow:
                is_measured = False

                def __call__(self, data):
                    return data

                def __reduce__(self):
                    if Slow.is_measured:  # the first time, nothing is written yet
                        pathlib.Path("reached").touch()
                        time.sleep(60)
                    Slow.is_measured = True
                    return Slow, ()

            package = {"model": torch.nn.Identity(), "pre_processing": Slow(), "meta_data": {}}
            """
        )
    )
    process = started_command("build", "recipe.py", "-o", "zoo")
    deadline = time.monotonic() + 60
    while not (tmp_path / "reached").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list((tmp_path / "zoo").iterdir())) == 1
    process.send_signal(number)
    said = process.communicate(timeout=30)[1].splitlines(keepends=True)
    assert process.returncode == status
    assert said[0].startswith("eisen-pack: packed without a sample")
    assert "".join(said[1:]) == told
    assert list((tmp_path / "zoo").iterdir()) == []


# --- text ---------------------------------------------------------------------------------


def test_sections():
    assert format_section("Title", ["a", ""]) == "Title\n  a\n\n\n"
    assert format_section("Title", []) == ""
