"""Archives that never load: ``eisen-serve run`` names each cause, and ends within its deadline."""

from __future__ import annotations

import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import pytest

from eisen_deploy.serving.runtime._shared.archive import unpacked_folder, zips

from .running_command import Running
from .under_load import ENGINES_IN_TURN, long

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("failing") / "zoo"
    subprocess.run([sys.executable, HERE / "pack_failing.py", folder], check=True)
    return folder


def remade(archive, target, change, *, digests=True):
    """Copy an archive with other content; with right digests, as an author could have packed it."""
    folder = target.parent / "unpacked"
    folder.mkdir(parents=True)
    zips.unpack(archive, folder)
    about = dict(unpacked_folder.read(folder).raw)
    change(folder)
    if digests:
        rest = {key: about[key] for key in about if key not in ("format", "files", "digest")}
        unpacked_folder.write(folder, rest)
    zips.write(folder, target)
    return target


def flip(folder):
    raw = bytearray((folder / "model.pt").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "model.pt").write_bytes(raw)


def other_reply(folder):
    reply = folder / unpacked_folder.read(folder).sample.reply.file
    raw = bytearray(reply.read_bytes())
    raw[-1] ^= 1  # the exponent of the last number
    reply.write_bytes(raw)


def broken_metadata(folder):
    (folder / "metadata.json").write_text('{"inputs": [1, 2')


def newer_torch(folder):
    model = folder / "model.pt"
    with zipfile.ZipFile(model) as old:
        files = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(model, "w") as new:
        for name, raw in files.items():
            new.writestr(name, b"99\n" if name.endswith("/version") else raw)


def syntax_error(folder):
    (folder / "raises_handler.py").write_text("class Failing(EisenServingHandler)\n    pass\n")


def run(archive, python, *, engine="torchserve", seconds=60):
    """Run it to its end; return status, complaint and seconds."""
    start = time.monotonic()
    if engine == "uvicorn":  # its workers need what TorchServe's do not
        python = sys.executable
    options = ["--engine", engine, "--startup-timeout", seconds]
    with Running("run", archive, *options, python=python) as running:
        status = running.ended(seconds + 30)
        taken = time.monotonic() - start
        assert running.wait_gone(1)
        return status, running.complaint, taken


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("raises", "ValueError: the weights are of another planet"),
        ("exits", "its worker ended 2 times without a word"),
        ("memory", "MemoryError"),
        ("crashes", "the worker crashed: Segmentation fault"),
        ("slow", "its worker was still loading after 5 s, and TorchServe ended it"),
        ("quits", "SystemExit: 3"),
        ("depends", "ModuleNotFoundError: No module named 'nibabel'"),
    ],
)
def test_it_fails_at_load(zoo, server_python, name, cause):
    status, complaint, seconds = run(zoo / f"{name}.mar", server_python)
    assert complaint.startswith(f"eisen-serve: {name} did not load: ")
    assert cause in complaint
    assert status == 1
    assert seconds < 60


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        pytest.param("raises", "ValueError: the weights are of another planet", marks=long),
        ("exits", "its worker ended: exit status 7; "),
        pytest.param("memory", "MemoryError", marks=long),
        pytest.param("crashes", "its worker ended: signal 11; ", marks=long),
        ("slow", "not in 5 s: its own serving option startup_timeout gives it longer"),
        pytest.param("quits", "SystemExit: 3", marks=long),
    ],
)
def test_it_fails_at_load_on_uvicorn(zoo, server_python, name, cause):
    status, complaint, seconds = run(zoo / f"{name}.mar", server_python, engine="uvicorn")
    assert complaint.startswith(f"eisen-serve: {name} did not load: ")
    assert cause in complaint
    assert status == 1
    assert seconds < 60


@pytest.mark.parametrize("engine", ENGINES_IN_TURN, indirect=True)
@pytest.mark.parametrize(
    ("name", "change", "cause"),
    [
        ("good", other_reply, "the sample gets other outputs here than where it was packed: y"),
        ("good", newer_torch, "version 99"),
        ("raises", syntax_error, "raises_handler.py cannot be imported: SyntaxError"),
    ],
)
def test_its_content_cannot_be_loaded(zoo, engine, server_python, tmp_path, name, change, cause):
    archive = remade(zoo / f"{name}.mar", tmp_path / "made" / "remade.mar", change)
    status, complaint, seconds = run(archive, server_python, engine=engine)
    assert complaint.startswith(f"eisen-serve: {name} did not load: ")
    assert cause in complaint
    assert status == 1
    assert seconds < 60


def test_it_hangs(zoo, server_python):
    status, complaint, seconds = run(zoo / "hangs.mar", server_python, seconds=30)
    assert complaint.startswith(
        "eisen-serve: hangs did not load: it neither answered nor failed within 30 s: its worker "
        "is still loading, at hangs_handler.py:11 in wait_for_ever, called from "
        "hangs_handler.py:6 in initialize, called from session.py:"
    )
    assert status == 1
    assert seconds < 30 + 30


@long
def test_it_hangs_on_uvicorn(zoo, server_python):
    status, complaint, _ = run(zoo / "hangs.mar", server_python, engine="uvicorn", seconds=30)
    expected = "hangs did not load: not in 30 s: --startup-timeout waits longer"
    assert complaint == f"eisen-serve: {expected}\n"
    assert status == 1


@pytest.mark.parametrize("engine", ENGINES_IN_TURN, indirect=True)
def test_a_digest_is_wrong(zoo, engine, server_python, tmp_path):
    archive = remade(zoo / "good.mar", tmp_path / "made" / "remade.mar", flip, digests=False)
    status, complaint, _ = run(archive, server_python, engine=engine)
    assert complaint == (
        f"eisen-serve: {archive}: model.pt was changed: its SHA-256 is not the one that was "
        "packed\n"
    )
    assert status == 2


@pytest.mark.parametrize("engine", ENGINES_IN_TURN, indirect=True)
def test_its_metadata_are_no_json(zoo, engine, server_python, tmp_path):
    archive = remade(zoo / "good.mar", tmp_path / "made" / "remade.mar", broken_metadata)
    status, complaint, _ = run(archive, server_python, engine=engine)
    assert complaint.startswith(f"eisen-serve: {archive}: metadata.json is not JSON: ")
    assert status == 2


def test_the_server_lacks_pyyaml(zoo, server_python, tmp_path):
    python = without(server_python, tmp_path / "environment", ("yaml", "_yaml", "pyyaml"))
    status, complaint, _ = run(zoo / "good.mar", python)
    assert complaint == (
        "eisen-serve: the server's environment lacks PyYAML (ModuleNotFoundError: No module named "
        f"'yaml'): {python} -m pip install PyYAML\n"
    )
    assert status == 2


def without(python, folder, names):
    """Make an environment that has all that another one has, but for some packages."""
    venv.create(folder, with_pip=False)
    (source,) = (python.parent.parent / "lib").glob("python*/site-packages")
    (target,) = (folder / "lib").glob("python*/site-packages")
    for entry in source.iterdir():
        if not entry.name.lower().startswith(names):
            (target / entry.name).symlink_to(entry)
    program = (python.parent / "torchserve").read_text()
    (folder / "bin" / "torchserve").write_text(program)
    return folder / "bin" / "python"
