"""Whatever is in a value, each file says just that: read by YAML, and by systemd itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import jinja2
import pytest
import yaml

from eisen_deploy.serving.engines.deployment.quoting import (
    Plain,
    comment,
    escape_variables,
    quote_json,
    quote_program,
    quote_systemd,
)
from eisen_deploy.serving.engines.deployment.rendering import _make_environment

HOSTILE = [
    "a b",
    'a"b',
    "a'b",
    "a\\b\\",
    "a\nb: c\n- d",
    "a\rb\tc",
    "$HOME",
    "${HOME}",
    "$$x",
    "%n %% %",
    "a#b # c",
    "{{ x }} {% raw %}",
    "[1, 2]",
    "yes",
    "1e3",
    "",
    ";",
    "überö",
    "\x1b[31m\x7f\x80\u2028\u202e",
    "-o",
    "@x",
    "&a *b !c |",
]
SYSTEMD = Path("/lib/systemd/systemd")
NOBODY = 65534


@pytest.mark.parametrize("value", HOSTILE)
def test_yaml_reads_the_value(value):
    text = f"key: {quote_json(value)}\nlist: {quote_json([value, 1])}\n"
    assert yaml.safe_load(text) == {"key": value, "list": [value, 1]}
    assert text.isascii()
    assert text.count("\n") == 2


@pytest.fixture(scope="module")
def read_command():
    """A function that returns the words which systemd reads in a command line."""
    if not SYSTEMD.exists() or shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("systemd is not here, or not to be had as another user than root")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are for root alone
    os.chown(folder, NOBODY, NOBODY)

    def read(line):
        (folder / "x.service").write_text(f"[Service]\nExecStart={line}\n")
        own = {"SYSTEMD_UNIT_PATH": f"{folder}:", "XDG_RUNTIME_DIR": folder, "HOME": folder}
        user = ["setpriv", "--reuid", str(NOBODY), "--clear-groups"]
        command = [*user, SYSTEMD, "--test", "--user", "--unit=x.service", "--no-pager"]
        found = subprocess.run(
            command, env={**os.environ, **own}, capture_output=True, timeout=60, check=False
        )
        (shown,) = re.findall(r"Command Line: (/bin/echo.*)", found.stdout.decode())
        return list(map(_unquote, re.findall(r'"(?:[^"\\]|\\.)*"|\S+', shown)))

    yield read
    shutil.rmtree(folder)


def _unquote(word):
    """Undo the quotes in which systemd shows a word, and its two dollars that stand for one."""
    if word.startswith('"'):
        word = re.sub(r'\\(["\\$`])', lambda found: f"\\x{ord(found[1]):02x}", word[1:-1])
        word = word.encode("latin-1", "backslashreplace").decode("unicode_escape")
    return word.replace("$$", "$")


def test_systemd_reads_the_value(read_command):
    line = f"/bin/echo {quote_systemd(HOSTILE)} {quote_systemd(8080)}"
    assert line.count("\n") == 0
    assert read_command(line) == ["/bin/echo", *HOSTILE, "8080"]


def test_a_template_quotes_what_it_forgets_to_quote():
    template = _make_environment(quote_json).from_string("a: {{ x }}\nb: {{ x|comment }}\n")
    assert template.render(x="1\n2") == 'a: "1\\n2"\nb: 1\\n2\n'
    with pytest.raises((TypeError, jinja2.UndefinedError)):
        template.render()


def test_what_is_no_text_is_not_quoted_by_accident():
    with pytest.raises(TypeError):
        quote_systemd(None)
    assert quote_json(Plain("a: b")) == "a: b"


def test_a_comment_has_one_line():
    assert comment("a\nENTRYPOINT x\x1b\u2028") == "a\\nENTRYPOINT x\\x1b\\u2028"


def test_kubernetes_replaces_no_variable():
    assert escape_variables(["$(HOME)", "a$$b", "c"]) == ["$$(HOME)", "a$$$$b", "c"]


def verify(path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    found = subprocess.run(
        ["systemd-analyze", "verify", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return (found.stdout + found.stderr).splitlines()


def test_systemd_finds_nothing_wrong_with_the_units(folder):
    units = list(folder.glob("*.service"))
    assert units
    for unit in units:
        assert verify(unit) == []


def test_systemd_finds_what_is_wrong_with_a_unit(exported, tmp_path):
    unit = tmp_path / "eisen-serve.service"
    text = (exported["plain"] / unit.name).read_text()
    unit.write_text(text.replace("TimeoutStopSec=", "TimeoutStopSec=some ").replace("-m", "'-m", 1))
    assert any("TimeoutStopSec" in line or "parse" in line for line in verify(unit))


@pytest.mark.parametrize("name", ["a b$c", "%n {{x}}", "ü;#"])
def test_systemd_finds_an_interpreter_and_an_archive_with_odd_names(
    name, zoo, tmp_path, run_export
):
    odd = tmp_path / name
    odd.mkdir()
    python = odd / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    shutil.copy(zoo / "seg.mar", odd / "seg.mar")
    done = run_export([odd / "seg.mar"], tmp_path / "out", "--python", str(python))
    assert done.status == 0
    unit = tmp_path / "out" / "eisen-serve.service"
    assert verify(unit) == []
    python.unlink()
    assert any("python" in line for line in verify(unit))  # just this file was looked for


@pytest.mark.parametrize("name", ['a"b', "a'b", "a\\b", "a\nb"])
def test_a_path_that_systemd_starts_nothing_from_is_refused(name, zoo, tmp_path, run_export):
    done = run_export([zoo / "seg.mar"], tmp_path / "out", "--python", f"/opt/{name}/python")
    assert done.status == 2
    assert done.complaints[0].endswith("systemd starts no program with such a path")


def test_an_archive_may_have_any_path(zoo, tmp_path, run_export, read_command):
    odd = tmp_path / "a\"b'c\\d\ne$f%g"
    odd.mkdir()
    shutil.copy(zoo / "seg.mar", odd / "seg.mar")
    assert run_export([odd / "seg.mar"], tmp_path / "out").status == 0
    unit = (tmp_path / "out" / "eisen-serve.service").read_text()
    words = unit.partition("\nExecStart=")[2].partition("\n#")[0]
    assert str(odd / "seg.mar") in read_command(f"/bin/echo {words}")


def test_a_program_has_no_variables():
    assert quote_program("/opt/a$b/python") == '"/opt/a$b/python"'
