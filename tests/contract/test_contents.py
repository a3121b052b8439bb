"""The exact files of every sdist and wheel, and one shared source in all of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from distributions import FOLDERS, check_sbom, project_of, version_in
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent.parent
WITH_COMMAND = {"client", "handler", "packaging"}
PACKAGE = {"client": "client", "handler": "serving", "packaging": "packaging"}
LINK = {"client": "_shared", "handler": "runtime/_shared", "packaging": "_shared"}

each = pytest.mark.parametrize("name", PACKAGE)


def modules_below(folder: Path) -> set[str]:
    """Return the Python files and templates below a folder; links to folders are not followed."""
    both = (*folder.rglob("*.py"), *folder.rglob("*.jinja"))
    found = (path for path in both if "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}


SHARED = modules_below(ROOT / "packages" / "shared")


def expected(name: str) -> set[str]:
    """Return the files of a distribution: its own, and the shared ones behind its link."""
    own = ROOT / "packages" / name / "src" / "eisen_deploy" / PACKAGE[name]
    assert (own / LINK[name]).is_symlink()
    files = {file for file in modules_below(own) if not file.startswith(f"{LINK[name]}/")}
    files |= {f"{LINK[name]}/{file}" for file in SHARED}
    return {f"eisen_deploy/{PACKAGE[name]}/{file}" for file in (*files, "py.typed")}


def stem(name: str) -> str:
    """What the names of a distribution's files begin with."""
    return f"{project_of(name).replace('-', '_')}-{version_in(ROOT, name)}"


def wheel_of(dist: Path, name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(dist / f"{stem(name)}-py3-none-any.whl")


def sdist_of(dist: Path, name: str) -> tarfile.TarFile:
    return tarfile.open(dist / f"{stem(name)}.tar.gz")


def about_wheel(name: str) -> set[str]:
    files = (
        "METADATA",
        "WHEEL",
        "RECORD",
        "licenses/LICENSE",
        f"sboms/{project_of(name)}.cdx.json",
    )
    return {f"{stem(name)}.dist-info/{file}" for file in files}


@pytest.mark.quick_cases(1)
@each
def test_wheel(dist, name):
    about = about_wheel(name)
    about |= {f"{stem(name)}.dist-info/entry_points.txt"} if name in WITH_COMMAND else set()
    names = wheel_of(dist, name).namelist()
    assert set(names) == expected(name) | about
    assert len(names) == len(set(names))


@each
def test_sdist(dist, name):
    about = {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    about |= {"hatch_build.py"}
    with sdist_of(dist, name) as archive:
        members = archive.getmembers()
    assert all(member.isfile() for member in members)
    names = [member.name.partition("/")[2] for member in members]
    assert set(names) == {f"src/{file}" for file in expected(name)} | about
    assert len(names) == len(set(names))


@each
def test_the_shared_source_is_byte_equal_in_every_wheel(dist, name):
    wheel = wheel_of(dist, name)
    for module in SHARED:
        packed = wheel.read(f"eisen_deploy/{PACKAGE[name]}/{LINK[name]}/{module}")
        assert packed == (ROOT / "packages" / "shared" / module).read_bytes()


@pytest.mark.quick_cases(1)
@each
def test_the_wheel_built_from_the_sdist_is_the_same(dist, name, tmp_path):
    with sdist_of(dist, name) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / stem(name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (rebuilt,) = (tmp_path / "dist").glob("*.whl")
    direct = wheel_of(dist, name)
    with zipfile.ZipFile(rebuilt) as wheel:
        assert {n: wheel.read(n) for n in wheel.namelist()} == {
            n: direct.read(n) for n in direct.namelist()
        }


def test_the_meta_distribution_has_no_code_and_brings_the_three(dist):
    with wheel_of(dist, "eisen-deploy") as wheel:
        assert set(wheel.namelist()) == about_wheel("eisen-deploy")
        metadata = wheel.read(f"{stem('eisen-deploy')}.dist-info/METADATA").decode()
    required = {
        line.split()[1].split("<")[0].split(">")[0]
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist: ")
    }
    assert required == {f"eisen-deploy-{name}" for name in PACKAGE}


@pytest.mark.parametrize("name", FOLDERS)
def test_each_wheel_has_an_sbom_of_itself_and_of_what_it_requires(dist, name):
    with wheel_of(dist, name) as wheel:
        info = f"{stem(name)}.dist-info"
        sbom = json.loads(wheel.read(f"{info}/sboms/{project_of(name)}.cdx.json"))
        lines = wheel.read(f"{info}/METADATA").decode().splitlines()
    check_sbom(Path(wheel.filename), project_of(name), version_in(ROOT, name))
    required = [Requirement(line[15:]) for line in lines if line.startswith("Requires-Dist: ")]
    always = {each.name for each in required if "extra ==" not in str(each.marker)}
    others = {each.name for each in required} - always - {project_of(name)}
    scopes = {part["name"]: part["scope"] for part in sbom["components"] if "scope" in part}
    assert scopes == dict.fromkeys(always, "required") | dict.fromkeys(others, "optional")
    (graph,) = sbom["dependencies"]
    assert graph["dependsOn"] == [part["bom-ref"] for part in sbom["components"]]


def test_the_sboms_name_the_one_shared_source_by_the_same_digest(dist):
    digests = set()
    for name in PACKAGE:
        with wheel_of(dist, name) as wheel:
            file = f"{stem(name)}.dist-info/sboms/{project_of(name)}.cdx.json"
            shared, *_ = json.loads(wheel.read(file))["components"]
        assert shared["name"] == "eisen-deploy-shared"
        digests.add(shared["hashes"][0]["content"])
    assert len(digests) == 1


def test_what_each_build_needs_in_its_own_folder_is_the_same_everywhere():
    packages = [ROOT / "packages" / name for name in PACKAGE]
    assert len({(folder / "hatch_build.py").read_bytes() for folder in packages}) == 1
    assert len({(folder / "LICENSE").read_bytes() for folder in [ROOT, *packages]}) == 1


def test_shared_imports_only_the_standard_library_numpy_and_itself():
    import ast

    for path in (ROOT / "packages" / "shared").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                roots = {(node.module or "").partition(".")[0]}
            elif isinstance(node, ast.Import):
                roots = {alias.name.partition(".")[0] for alias in node.names}
            else:
                continue
            assert roots <= sys.stdlib_module_names | {"numpy"}, path.name
