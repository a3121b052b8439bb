"""Each code block of the documentation is run, parsed, or output; what it names is there."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import documented_rules as rules  # noqa: E402
from documented_pages import PAGES, Block, read_blocks, read_page  # noqa: E402

from eisen_deploy.client._shared.wire.encoding import encode_request  # noqa: E402
from eisen_deploy.client.cli import settings  # noqa: E402
from eisen_deploy.serving.engines.torchserve.settings.known_properties import (  # noqa: E402
    PROPERTIES,
)
from eisen_deploy.serving.runtime.torchserve import java_properties  # noqa: E402

BLOCKS = list(rules.read_all_blocks())
COMMANDS = [
    (page, step.command)
    for page, block in BLOCKS
    if block.language == "console"
    for step in block.steps
]


def unknown_blocks(blocks):
    """Return what is neither run nor parsed nor output."""
    known = rules.RUN | rules.FILES | rules.OUTPUT
    return [
        f"{page}, line {block.line}: {block.language or 'no language'}"
        for page, block in blocks
        if block.language not in known and rules.find_exception(page, block) is None
    ]


def unmarked_blocks(page, text):
    """Return where a page has a block without a language: ``::`` or four blanks."""
    if page.endswith(".md"):
        outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        return re.findall(r"^(?:#+ .*|\S.*)\n\n {4}\S.*", outside, re.MULTILINE)
    return re.findall(r"^(?! *\.\.).*::\n(?=\n)", text, re.MULTILINE)


def test_every_block_is_run_parsed_or_output():
    assert len(BLOCKS) > 100
    assert unknown_blocks(BLOCKS) == []
    assert [each for page in PAGES for each in unmarked_blocks(page, read_page(page))] == []


@pytest.mark.parametrize("language", ["sh", "toml", ""])
def test_a_new_block_of_another_kind_is_found(language):
    assert unknown_blocks([("install", Block(language, "", "make\n"))]) != []


@pytest.mark.parametrize(
    ("page", "text"), [("a", "Do this::\n\n   make\n"), ("README.md", "Do this:\n\n    make\n")]
)
def test_a_block_without_a_language_is_found(page, text):
    assert unmarked_blocks(page, text) != []


def test_no_rule_is_left_over():
    used = {rules.find_reason(command) for _, command in COMMANDS}
    assert set(rules.NOT_RUN) - used == set()
    used = {rules.find_exception(page, block) for page, block in BLOCKS}
    assert set(rules.BLOCKS) - used == set()
    assert set(rules.PAGES_RUN_BY) <= set(PAGES)
    tests = [*rules.NOT_RUN.values(), *rules.BLOCKS.values(), *rules.PAGES_RUN_BY.values()]
    named = {path for text in tests for path in re.findall(r"tests/\S+\.py", text)}
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def read_properties(text):
    """Read lines of ``config.properties``, with names that TorchServe knows."""
    parsed = java_properties.parse(text.encode())
    assert not parsed.problems
    assert {entry.name for entry in parsed.entries} <= set(PROPERTIES)
    for entry in parsed.entries:
        if entry.name == "models":
            json.loads(entry.value)


def test_the_files_of_the_pages_are_well_formed():
    parsers = {
        "json": json.loads,
        "yaml": yaml.safe_load,
        "ini": configparser.ConfigParser(interpolation=None).read_string,
        "properties": read_properties,
    }
    found = [block for page in PAGES for block in read_blocks(page) if block.language in parsers]
    assert {block.language for block in found} == set(parsers)
    for block in found:
        parsers[block.language](block.text)


def test_the_file_of_settings_is_one(tmp_path, monkeypatch):
    (block,) = (each for each in read_blocks("eisen-client") if each.language == "ini")
    (tmp_path / "settings.ini").write_text(block.text, "utf-8")
    for name in settings.NAMES:
        monkeypatch.delenv(f"EISEN_{name.upper()}", raising=False)
    monkeypatch.setenv("EISEN_CONFIG", str(tmp_path / "settings.ini"))
    assert set(settings.read_settings()) == {"url", "ca", "token_file"}


def test_included_files_exist():
    names = [
        (page, name)
        for page in PAGES
        for name in re.findall(r"\.\. literalinclude:: (\S+)", read_page(page))
    ]
    assert len(names) > 5
    assert [each for each in names if not (ROOT / "docs" / each[1]).is_file()] == []


# --- commands that are not run ------------------------------------------------------------------


def commands_of(*programs):
    found = [
        (page, shlex.split(command.replace("\\\n", " "), comments=True))
        for page, command in COMMANDS
        if command.startswith(programs)
    ]
    assert found
    return found


def extras_of(distribution):
    return set(metadata(distribution).get_all("Provides-Extra") or ())


# In a process of its own: what pip imports would change how torch compiles in this one.
PARSE_FOR_PIP = """
import json, sys
from pip._internal.commands import create_command
parsed = [create_command(name).parse_args(rest) for name, *rest in json.load(sys.stdin)]
json.dump([(getattr(given, "editables", ()), others) for given, others in parsed], sys.stdout)
"""


def parse_for_pip(commands):
    """Return editable projects and requirements of each command line of pip."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE_FOR_PIP],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_pip_understands_what_is_installed_and_our_extras_exist():
    ours = {"eisen-deploy", "eisen-deploy-client", "eisen-deploy-handler", "eisen-deploy-packaging"}
    found = commands_of("pip ", "python3.11 -m pip ")
    parsed = parse_for_pip([words[words.index("pip") + 1 :] for _, words in found])
    for (page, _), (editables, requirements) in zip(found, parsed, strict=True):
        for requirement in map(Requirement, requirements):
            assert requirement.name in ours or "eisen-deploy" not in requirement.name, page
            if requirement.extras:
                known = {"tritonclient": {"http"}}.get(requirement.name)
                assert requirement.extras <= (known or extras_of(requirement.name)), page
        assert all((ROOT / path).is_dir() for path in editables), page


def sessions():
    tree = ast.parse((ROOT / "noxfile.py").read_text("utf-8"))
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef)]
    return {each.name for each in functions if each.decorator_list}


def split_at(words, separator):
    place = words.index(separator) if separator in words else len(words)
    return [words[:place], words[place + 1 :]]


def test_the_tasks_that_are_run_exist():
    found = commands_of("nox ", "python3 tools/dev.py", "FAULT_STRIDE=1 python3 tools/dev.py")
    for page, words in found:
        ours, *rest = split_at(words, "--")
        tasks = ours[ours.index("tools/dev.py") + 1 :] if "tools/dev.py" in ours else ours[2:]
        assert set(tasks) <= sessions(), page
        paths = [word for part in rest for word in part if word.startswith("tests/")]
        assert all((ROOT / path).exists() for path in paths), page


def test_the_tools_that_are_run_exist():
    for page, words in commands_of("python tools/"):
        source = (ROOT / words[1]).read_text("utf-8")
        assert [word for word in words[2:] if word[0] == "-" and f'"{word}"' not in source] == [], (
            page
        )


# --- bytes --------------------------------------------------------------------------------------


def test_the_page_on_the_protocol_lists_what_the_client_sends():
    example = read_page("wire-protocol").partition("A worked example\n")[2]
    shown = re.search(r"^   (\{.+\})$", example, re.MULTILINE)[1].encode()
    rows = re.findall(r"^   (\d+)  ((?:[0-9a-f]{2} ){4})", example, re.MULTILINE)
    body = encode_request({"x": np.float32([[1, 2], [3, 4]])})
    sent = b"".join(map(bytes, body.buffers))
    assert f"Inference-Header-Content-Length: {body.json_size}\n" in example
    assert f"Content-Length: {body.size}\n" in example
    assert sent[: body.json_size] == shown.ljust(body.json_size)
    for offset, digits in rows:
        assert sent[int(offset) : int(offset) + 4] == bytes.fromhex(digits)
    assert len(rows) == 4
    assert f"({len(shown)} bytes" in example.replace("(one line; ", "(")
