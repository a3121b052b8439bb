"""Completion in a real bash, of the real programs."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

PROGRAMS = {
    "eisen-pack": "eisen_deploy.packaging",
    "eisen-serve": "eisen_deploy.serving",
    "eisen-client": "eisen_deploy.client",
}
# As bash calls the function of a program: with the words so far, of which the last is completed.
ASK = """
eval "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
function=$(complete -p "$1" | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def complete():
    """Return what bash offers for the last word: ``complete("eisen-serve", "run", "--en")``."""
    scripts = {}

    def _complete(program, *words):
        if program not in scripts:
            command = [sys.executable, "-m", f"{PROGRAMS[program]}.cli", "completion", "bash"]
            scripts[program] = subprocess.run(
                command, check=True, capture_output=True, text=True
            ).stdout
        asked = ["bash", "--norc", "-c", ASK, "bash", scripts[program], program, *words]
        told = subprocess.run(asked, check=True, capture_output=True, text=True)
        assert told.stderr == ""
        return told.stdout.split()

    return _complete


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_and_every_option_of_each_program(complete, program):
    command = importlib.import_module(f"{PROGRAMS[program]}.cli.command")
    parser = command._make_parser()
    (commands,) = [each.choices for each in parser._actions if isinstance(each.choices, dict)]
    offered = complete(program, "")
    assert {*commands, "--version", "--help"} <= {*offered}
    for name, own in commands.items():
        shown = own.format_help()
        options = complete(program, name, "--")
        assert "--help" in options
        for option in options:
            assert option in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["eisen-serve", "r"], ["run"]),
        (["eisen-serve", "run", "seg.mar", "--token-"], ["--token-auth", "--token-file"]),
        (["eisen-serve", "run", "--engine", ""], ["torchserve", "uvicorn", "ray"]),
        (["eisen-serve", "config", "--engine", "u"], ["uvicorn"]),
        (["eisen-serve", "run", "--sil"], []),  # hidden
        (["eisen-serve", "run", "seg"], []),  # then bash completes names of files
        (["eisen-serve", "completion", ""], ["bash"]),
        (["eisen-pack", "ver"], ["verify"]),
        (["eisen-client", "predict", "--out"], ["--output"]),
    ],
)
def test_what_is_offered(complete, words, expected):
    assert complete(*words) == expected


def test_names_of_files_are_completed_where_nothing_else_fits(complete):
    command = [sys.executable, "-m", "eisen_deploy.client.cli", "completion", "bash"]
    script = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "complete -o default -F _eisen_client eisen-client" in script


def test_the_version_of_the_server_s_program():
    from importlib.metadata import version

    command = [sys.executable, "-m", "eisen_deploy.serving.cli", "--version"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told == f"eisen-serve (eisen-deploy-handler) {version('eisen-deploy-handler')}\n"
