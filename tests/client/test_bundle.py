"""The folder for a workstation without a network, installed where there is none."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from packaging import tags

pytestmark = pytest.mark.slow  # takes minutes, as those do

ROOT = Path(__file__).resolve().parent.parent.parent
CUT_OFF = ("unshare", "--map-root-user", "--net", "--")
#: What stands in for a network namespace where none is allowed.
GUARD = """
import socket

def refuse(*_):
    raise OSError("the network is cut off")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""
ASK = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
USE = """
import sys
import numpy as np
import eisen_deploy.client
from eisen_deploy.client import EisenServingClient
from eisen_deploy.client.testing import FakeModel

model = FakeModel({}, lambda batch: {"y": batch["x"] * 2})
with EisenServingClient("http://localhost/predictions/m", transport=model) as client:
    print(client.predict({"x": np.ones(3)})["y"].sum())
print(sorted({name.partition(".")[0] for name in sys.modules} & {"nibabel", "pydicom", "tqdm"}))
"""


def run_bundle(folder, arguments, settings):
    command = [sys.executable, ROOT / "tools" / "bundle.py", "--folder", folder, *arguments]
    subprocess.run(command, check=True, timeout=600, env={**os.environ, **settings})


@pytest.fixture(scope="module")
def bundle(kept_wheels):
    """Make a bundle; what it downloads is kept, so that later runs need no network."""
    texts = [
        (ROOT / name).read_text() for name in ("tools/bundle.py", "packages/client/pyproject.toml")
    ]

    def _bundle(folder, *arguments):
        def download(kept):
            run_bundle(kept / "bundle", arguments, {})
            for wheel in (kept / "bundle" / "wheels").iterdir():
                wheel.rename(kept / wheel.name)

        run_bundle(folder, arguments, kept_wheels("bundle", [*texts, *arguments], download))
        return folder

    return _bundle


def allowed_tags(python, platforms):
    major, minor = map(int, python.split("."))
    ours = tags.cpython_tags((major, minor), platforms=platforms)
    return {*ours, *tags.compatible_tags((major, minor), f"cp{major}{minor}", platforms)}


def names_in(folder):
    assert {path.name for path in folder.iterdir()} == {"wheels", "requirements.txt", "INSTALL.txt"}
    # parse_wheel_filename raises for anything that is no wheel
    return {parse_wheel_filename(path.name)[0] for path in (folder / "wheels").iterdir()}


@pytest.fixture(scope="module")
def here(tmp_path_factory, bundle):
    return bundle(tmp_path_factory.mktemp("bundle") / "here")


@pytest.fixture(scope="module")
def is_namespace_allowed():
    unshare = shutil.which(CUT_OFF[0]) is not None
    return unshare and subprocess.run([*CUT_OFF, "true"], check=False).returncode == 0


@pytest.fixture
def workstation(tmp_path, is_namespace_allowed):
    """Run a program of a new environment with the network cut off: ``run(name, *arguments)``."""
    folder = tmp_path / "workstation"
    venv.create(folder, with_pip=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    clean.pop("PYTHONPATH", None)
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if not is_namespace_allowed:
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "cut_off.py").write_text(GUARD)
        (packages / "cut_off.pth").write_text("import cut_off\n")
        clean |= {"PIP_PROXY": "http://127.0.0.1:9"}

    def _run(name, *arguments, cwd=tmp_path):
        command = [*(CUT_OFF if is_namespace_allowed else ()), folder / "bin" / name, *arguments]
        return subprocess.run(
            command, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=600
        )

    return _run


def install_command(folder):
    """Return the arguments of the line in INSTALL.txt, without its interpreter."""
    text = (folder / "INSTALL.txt").read_text()
    (line,) = (line.split() for line in text.splitlines() if "pip install" in line)
    return line[line.index("-m") :]


def test_a_bundle_installs_and_works_without_a_network(here, workstation):
    asked = workstation("python", "-c", ASK)
    assert asked.returncode != 0, "the network is not cut off"
    installed = workstation("python", *install_command(here), cwd=here)
    assert installed.returncode == 0, installed.stderr
    used = workstation("python", "-c", USE)
    assert (used.stdout.split("\n"), used.stderr) == (["6.0", "[]", ""], "")
    told = workstation("eisen-client", "--version")
    assert (told.returncode, told.stderr) == (0, "")
    (wheel,) = (here / "wheels").glob("eisen_deploy_client-*")
    assert str(parse_wheel_filename(wheel.name)[1]) in told.stdout
    assert workstation("python", "-m", "pip", "check").returncode == 0


def test_a_wheel_that_was_changed_is_not_installed(here, workstation, tmp_path):
    changed = shutil.copytree(here, tmp_path / "changed")
    (wheel,) = (changed / "wheels").glob("idna-*")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    installed = workstation("python", *install_command(changed), cwd=changed)
    assert installed.returncode != 0
    assert "DO NOT MATCH THE HASHES" in installed.stderr
    assert workstation("python", "-c", "import eisen_deploy.client").returncode != 0


def test_the_core_is_the_client_requests_numpy_and_theirs(here):
    theirs = {"certifi", "charset-normalizer", "idna", "urllib3"}
    assert names_in(here) == {"eisen-deploy-client", "numpy", "requests", *theirs}


def test_requirements_name_each_wheel_once_with_its_digest_in_order(here):
    text = (here / "requirements.txt").read_text()
    entries = re.findall(
        r"^(\S+)==(\S+) \\\n    --hash=sha256:([0-9a-f]{64})\n", text, re.MULTILINE
    )
    assert len(entries) == text.count("==") == text.count("--hash")
    found = []
    for path in (here / "wheels").iterdir():
        name, version, _, _ = parse_wheel_filename(path.name)
        found.append((name, str(version), hashlib.sha256(path.read_bytes()).hexdigest()))
    assert entries == sorted(found)


def test_a_second_bundle_has_the_same_bytes(here, bundle, tmp_path):
    again = bundle(tmp_path / "again")
    for name in ("requirements.txt", "INSTALL.txt"):
        assert (again / name).read_bytes() == (here / name).read_bytes()


def test_a_folder_that_is_there_is_left_alone(bundle, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(subprocess.CalledProcessError):
        bundle(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


OLDEST_LINUX = [f"manylinux_2_{minor}_x86_64" for minor in range(17, 4, -1)]


@pytest.mark.parametrize("python", ["3.9", "3.13"])
@pytest.mark.parametrize("platform", ["win_amd64", "manylinux2014_x86_64", "macosx_11_0_arm64"])
def test_no_core_dependency_needs_a_compiler(bundle, tmp_path, platform, python):
    # That pip finds none but a source distribution for this platform is an error of the bundle.
    allowed = {
        "win_amd64": [platform],
        "manylinux2014_x86_64": [*OLDEST_LINUX, platform],
        "macosx_11_0_arm64": list(tags.mac_platforms((11, 0), "arm64")),
    }[platform]
    made = bundle(tmp_path / "made", f"--platform={platform}", f"--python={python}")
    names = names_in(made)
    assert {"eisen-deploy-client", "numpy", "requests", "urllib3"} <= names
    for path in (made / "wheels").iterdir():
        theirs = parse_wheel_filename(path.name)[3]
        assert theirs & allowed_tags(python, allowed), f"{path.name} does not fit"


def test_conditions_are_those_of_the_workstation(bundle, tmp_path):
    # tqdm needs colorama on Windows only; highdicom has one version for 3.9, another for the rest.
    extras = "--extras=dicom,cli"
    windows = bundle(tmp_path / "w", "--platform=win_amd64", "--python=3.9", extras)
    linux = bundle(tmp_path / "l", "--platform=manylinux_2_28_x86_64", "--python=3.11", extras)
    assert "colorama" in names_in(windows)
    assert "colorama" not in names_in(linux)
    versions = [
        parse_wheel_filename(next((made / "wheels").glob("highdicom-*")).name)[1].release[:2]
        for made in (windows, linux)
    ]
    assert versions[0] == (0, 22) < versions[1]
