"""The programs of the page *Other languages*, as they stand there, against each engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.test_foreign_clients import node_modules  # noqa: F401 - a fixture

from eisen_deploy.client._shared.wire import protocol

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PROGRAMS = DOCS / "examples" / "other-languages"
PAGE = (DOCS / "other-languages.rst").read_text(encoding="utf-8")
X = np.float32([[1, 2], [3, 4]])
UNAUTHORIZED = ("401", "Unauthorized")


@pytest.fixture(scope="module")
def server(engine, serve_on, model_zoo):
    return serve_on(engine, model_zoo / "model.mar", token_auth=True)


@pytest.fixture
def run(server, tmp_path):
    """Run one of the programs: ``run("node", "fetch.mjs") -> completed``."""

    def _run(program, name, *, key=None):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")
        script = shutil.copy(PROGRAMS / name, tmp_path)
        command = [program, script, server.url("model"), key or server.key()]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    return _run


def bytes_on_the_page():
    """Return the body of the request that the page lists by offset."""
    json_part = re.search(r"^   (\{\"inputs\": .+\})$", PAGE, re.MULTILINE)[1].encode()
    rows = re.findall(r"^   (\d+)  ((?:[0-9a-f]{2} ){4}) +\S+$", PAGE, re.MULTILINE)
    body = json_part
    for offset, digits in rows[: X.size]:
        assert int(offset) == len(body)
        body += bytes.fromhex(digits)
    return len(json_part), body


def test_the_page_lists_a_request_of_the_protocol():
    size, body = bytes_on_the_page()
    request = protocol.decode_request(bytearray(body), size)
    np.testing.assert_array_equal(request.inputs["x"], X)
    assert f"Inference-Header-Content-Length: {size}\n" in PAGE
    assert f"Content-Length: {len(body)}\n" in PAGE


def test_curl_sends_the_bytes_of_the_page_and_reads_the_reply(run, tmp_path):
    found = run("sh", "binary.sh")
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "request.bin").read_bytes() == bytes_on_the_page()[1]
    told, values, end = found.stdout.splitlines()
    assert [each["name"] for each in json.loads(told)["outputs"]] == ["y"]
    assert list(map(float, values.split())) == [0, 3, 5, 7, 9]  # the offset, and the values
    assert int(end) == 16


@pytest.mark.parametrize("name", ["fetch.mjs", "axios.cjs"])
def test_node_with_raw_tensors(run, name, node_modules, tmp_path):  # noqa: F811
    (tmp_path / "node_modules").symlink_to(node_modules)
    found = run("node", name)
    assert found.stdout == "y [2,2] [3,5,7,9]\n", found.stderr


def test_node_with_json(run):
    found = run("node", "json.mjs")
    assert found.stdout == "[[3,5],[7,9]]\n", found.stderr


@pytest.mark.parametrize(
    ("program", "name"),
    [("sh", "binary.sh"), ("node", "fetch.mjs"), ("node", "axios.cjs"), ("node", "json.mjs")],
)
def test_a_wrong_token_is_an_error_that_does_not_show_it(
    run,
    engine,
    program,
    name,
    node_modules,  # noqa: F811
    tmp_path,
):
    (tmp_path / "node_modules").symlink_to(node_modules)
    status, kind = ("400", "InvalidKeyException") if engine == "torchserve" else UNAUTHORIZED
    found = run(program, name, key="wrong-token-canary")
    assert found.returncode != 0
    said = found.stdout + found.stderr
    if program == "node":
        assert status in said
        assert kind in said
    else:
        assert kind in (tmp_path / "reply.bin").read_text()
    assert "wrong-token-canary" not in said


@pytest.mark.parametrize("engine", ["torchserve"], indirect=True)
def test_sharp(server, tmp_path):
    if shutil.which("dotnet") is None:
        pytest.skip("no .NET SDK on this machine")

    def dotnet(*arguments):
        command = ["dotnet", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )

    made = dotnet("new", "console", "--output", ".", "--name", "Query")
    assert made.returncode == 0, made.stdout + made.stderr
    shutil.copy(PROGRAMS / "Query.cs", tmp_path / "Program.cs")
    built = dotnet("build", "--output", "built", "-warnaserror")
    assert built.returncode == 0, built.stdout + built.stderr

    url = server.url("model")
    found = dotnet("built/Query.dll", url, server.key())
    assert found.stdout == "y [3,5,7,9]\n", found.stderr
    refused = dotnet("built/Query.dll", url, "wrong-token-canary")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert re.match(r"400 .*InvalidKeyException", refused.stderr, re.DOTALL)
    assert "wrong-token-canary" not in refused.stderr


def test_the_sharp_program_names_the_same_request():
    text = (PROGRAMS / "Query.cs").read_text(encoding="utf-8")
    start, end = text.index("GetBytes("), text.index(");", text.index("GetBytes("))
    pieces = re.findall(r'"((?:[^"\\]|\\.)*)"', text[start:end])
    size, body = bytes_on_the_page()
    assert "".join(json.loads(f'"{piece}"') for piece in pieces).encode() == body[:size]
