"""What surrounds the server: real interpreters, processes, folders and limits."""

from __future__ import annotations

import os
import site
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from eisen_deploy.serving.doctor import ERROR, WARNING
from eisen_deploy.serving.doctor.checks import surroundings
from eisen_deploy.serving.engines.environment.probes import read_versions
from eisen_deploy.serving.engines.torchserve.settings.environment import find_python
from eisen_deploy.serving.runtime._shared.archive import unpacked_folder, zips
from eisen_deploy.serving.runtime._shared.archive.requirements import render

TESTED = {
    *("pyyaml-missing", "package-missing", "torchserve-untried", "java-unfit"),
    *("temporary-folder-unfit", "disk-space-short", "model-store-missing", "open-files-few"),
    "requirement-missing",
}


@pytest.mark.slow  # pip is installed
@pytest.mark.parametrize("part", ["long" * 40, "with a space", "short"])
def test_the_interpreter_of_a_program_that_pip_has_installed(part, tmp_path):
    """A kernel does not read a long first line, or a space in it: pip writes something else."""
    folder = tmp_path / part
    venv.create(folder, with_pip=True)
    program = (folder / "bin" / "pip").rename(folder / "bin" / "torchserve")
    assert program.read_text().startswith("#!/bin/sh\n") == (part != "short")
    found = find_python({"PATH": str(folder / "bin")})
    assert Path(found).parent == folder / "bin"
    assert read_versions(found, ["pip"], {}).distributions["pip"]


def test_the_interpreter_that_env_finds(tmp_path):
    """As conda writes some programs."""
    for name, text in (("torchserve", "#!/usr/bin/env python3\n"), ("python3", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    assert find_python({"PATH": str(tmp_path)}) == str(tmp_path / "python3")


def test_these_are_all_checks_of_the_environment():
    assert {check.name for check in surroundings.AREA.checks} == TESTED


def fake_distribution(python, name, version):
    """Make the interpreter's environment say that a distribution is installed."""
    (packages, *_) = site.getsitepackages([str(Path(python).parents[1])])
    folder = Path(packages) / f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (folder / "METADATA").write_text(metadata)


def test_an_interpreter_that_has_nothing(doctor, bare_python):
    doctor.python = bare_python
    report = doctor.examine()
    names = [finding.name for finding in report.findings]
    assert names.count("package-missing") == 3
    assert "pyyaml-missing" in names
    assert f"{bare_python} -m pip install PyYAML" in {each.remedy for each in report.findings}


def test_an_interpreter_that_has_all(doctor):
    doctor.python = sys.executable
    found = doctor.names()
    assert not {"package-missing", "pyyaml-missing", "torchserve-untried"} & found.keys()


def test_an_interpreter_that_does_not_run(doctor):
    doctor.python = str(doctor.folder / "nowhere")
    assert any("nowhere does not run" in each for each in doctor.examine().unexamined)


def test_the_interpreter_is_that_of_the_torchserve_of_the_path(doctor):
    program = doctor.folder / "torchserve"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    doctor.environment["PATH"] = f"{doctor.folder}:{doctor.environment['PATH']}"
    assert ("python", sys.version.split()[0]) in [
        (name, value.split(",")[0]) for name, value in doctor.examine().facts
    ]


def test_requirements_and_releases(doctor, bare_python):
    doctor.python = bare_python
    fake_distribution(bare_python, "torchserve", "0.11.1")
    fake_distribution(bare_python, "scipy", "1.0.0")
    assert doctor.names()["torchserve-untried"] == WARNING
    pack_with(doctor, ["scipy==1.0.0"])
    assert "requirement-missing" not in doctor.names()
    pack_with(doctor, ["scipy"])
    assert "requirement-missing" not in doctor.names()
    pack_with(doctor, ["scipy==2.0.0"])
    assert doctor.names()["requirement-missing"] == WARNING
    pack_with(doctor, ["scipy==1.0.0", "absent_thing==1.0"])
    assert doctor.names()["requirement-missing"] == ERROR


def pack_with(doctor, requirements):
    """Pack an archive, and write other requirements into it as packaging would."""
    for path in doctor.store.iterdir():
        path.unlink()
    path = doctor.pack()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zips.unpack(path, folder)
        about = dict(unpacked_folder.read(folder).raw)
        for key in ("format", "files", "digest"):
            del about[key]
        (folder / "requirements.txt").write_bytes(render(requirements))
        unpacked_folder.write(folder, {**about, "requirements": requirements})
        path.unlink()
        zips.write(folder, path)


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292"])
def test_a_java_that_is_too_old(doctor, java, version):
    doctor.environment["JAVA_HOME"] = java(version)
    assert doctor.names()["java-unfit"] == ERROR


@pytest.mark.parametrize("version", ["17.0.9", "21"])
def test_a_java_that_will_do(doctor, java, version):
    doctor.environment["JAVA_HOME"] = java(version)
    assert "java-unfit" not in doctor.names()


def test_a_java_home_that_hides_the_java_of_the_path(doctor, java):
    doctor.environment["JAVA_HOME"] = nowhere = str(doctor.folder / "nowhere")
    doctor.environment["PATH"] = f"{java('21')}/bin:{doctor.environment['PATH']}"
    (finding,) = [each for each in doctor.examine().findings if each.name == "java-unfit"]
    assert f"JAVA_HOME is {nowhere}: {nowhere}/bin/java does not run" in finding.found
    assert finding.remedy == "unset JAVA_HOME  (java on the path is Java 21)"


def test_no_java_at_all(doctor):
    doctor.environment["JAVA_HOME"] = str(doctor.folder / "nowhere")
    doctor.environment["PATH"] = str(doctor.folder)
    (finding,) = [each for each in doctor.examine().findings if each.name == "java-unfit"]
    assert "does not run" in finding.found
    assert "JAVA_HOME=" in finding.remedy


def test_a_temporary_folder_that_is_not_a_folder(doctor):
    doctor.environment["TEMP"] = str(doctor.folder / "nowhere")
    assert doctor.names()["temporary-folder-unfit"] == ERROR
    doctor.environment["TEMP"] = str(doctor.folder)
    assert "temporary-folder-unfit" not in doctor.names()


def test_archives_that_are_larger_than_the_disk_is_free(doctor):
    doctor.environment["TEMP"] = str(doctor.folder)
    path = doctor.store / "large.mar"
    path.touch()
    assert "disk-space-short" not in doctor.names()
    os.truncate(path, 2**43)  # takes no space itself
    assert doctor.names()["disk-space-short"] == ERROR


def test_a_model_store_that_is_not_set_or_does_not_exist(doctor):
    assert any("use --model-store" in each for each in doctor.examine(model_store=None).unexamined)
    assert doctor.names(model_store="nowhere")["model-store-missing"] == ERROR
    assert "model-store-missing" not in doctor.names()
