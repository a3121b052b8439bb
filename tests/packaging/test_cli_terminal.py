"""``eisen-pack`` and text from archives, recipes and names of files that a terminal would obey."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from eisen_deploy.packaging import EisenServingMAR
from eisen_deploy.packaging.cli import main

EVIL = "\x1b]0;pwn\x07\x9b31m\u202eevil\u2028x\x85\u200b\x7f"
ESCAPED = r"\x1b]0;pwn\x07\x9b31m\u202eevil\u2028x\x85\u200b\x7f"


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Two archives whose metadata, which may be any JSON, and whose code are hostile."""
    folder = tmp_path_factory.mktemp("zoo")
    code = folder / "nets.py"
    found = []
    for version in ("1", "2"):
        code.write_text(f"# {EVIL} {version}\nx = 1\n")
        metadata = {
            "inputs": [{"name": f"a{EVIL}", "type": EVIL, "shape": [EVIL, version]}],
            f"key{EVIL}": [EVIL, version],
        }
        packer = EisenServingMAR(None, None, metadata)
        more = {"code_paths": [code], "overwrite": True}
        found.append(packer.pack(torch.nn.Identity(), folder / version, "m", version, **more))
    return found


@pytest.fixture
def run(capsys):
    def call(*arguments):
        status = main([str(each) for each in arguments])
        told = capsys.readouterr()
        assert (told.out + told.err).replace("\n", "").isprintable()
        return status, told.out, told.err

    return call


def test_inspect(archives, run):
    _, out, _ = run("inspect", archives[0])
    assert f"a{ESCAPED}" in out
    assert f"key{ESCAPED}" in out
    _, out, _ = run("inspect", "--json", archives[0])
    assert out.isascii()
    assert json.loads(out)["metadata"]["inputs"][0]["name"] == f"a{EVIL}"


def test_diff(archives, run):
    status, out, _ = run("diff", *archives)
    assert status == 1
    assert f"-# {ESCAPED} 1" in out
    assert f"+# {ESCAPED} 2" in out
    assert f"key{ESCAPED}[1]" in out
    _, out, _ = run("diff", "--json", *archives)
    assert out.isascii()


@pytest.mark.parametrize("name", ["\x1b[31m.mar", "a\nINFO forged.mar", "\u202eram.mar"])
def test_names_of_archives(archives, run, tmp_path, name):
    path = tmp_path / name
    for command in (["inspect"], ["verify", "--no-run"], ["diff", archives[0]]):
        status, _, err = run(*command, path)
        assert status in (1, 2)
        assert err.count("\n") == 1
        shutil.copy(archives[0], path)
        status, out, err = run(*command, path)
        assert (status, err) == (0, "")
        assert "\nINFO" not in out
        path.write_bytes(b"no archive")
        status, _, err = run(*command, path)
        assert status in (1, 2)
        assert err.count("\n") == 1
        path.unlink()


@pytest.mark.parametrize(
    "line",
    [
        f"raise ValueError({EVIL!a})",
        f"package = {{'model': None, {EVIL!a}: 1}}",
        f"package = {{'model': 1, 'meta_data': {{}}, 'model_name': {EVIL!a}}}",
        f"package = {{'model': 1, 'meta_data': {{}}, 'requirements': [{EVIL!a}]}}",
        f"import warnings; warnings.simplefilter('always'); warnings.warn({EVIL!a})",
    ],
)
@pytest.mark.parametrize("more", [[], ["--debug"]])
def test_recipes(run, tmp_path, line, more):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(f"{line}\n")
    status, _, err = run("build", recipe, "-o", tmp_path / "zoo", *more)
    assert status == 2
    assert "\x1b" not in err
