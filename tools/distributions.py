"""Build distributions as for a release, and check what users would get.

Usage: ``python tools/distributions.py [client ...] [--folder dist]``, in an environment that has
``hatchling``, ``packaging`` and ``twine``; ``python3 tools/dev.py build`` makes one. Without a name
all are built. A tag may stand for a name: ``client-v0.2.0`` is refused if the distribution has
another version.

The last commit is cloned and built twice, in two folders. Both builds must be equal to the byte,
``twine check`` must pass, and the wheel must contain an SBOM of itself (PEP 770) and work in an
environment that has nothing but what it requires.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Callable, Sequence
from email.parser import BytesHeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
#: The folder of each distribution, by the name with which its tags begin.
FOLDERS = {
    "client": "packages/client",
    "handler": "packages/handler",
    "packaging": "packages/packaging",
    "eisen-deploy": ".",
}
#: The packages that each distribution installs.
PACKAGES = {
    "client": ["eisen_deploy.client"],
    "handler": ["eisen_deploy.serving"],
    "packaging": ["eisen_deploy.packaging"],
    "eisen-deploy": ["eisen_deploy.client", "eisen_deploy.serving", "eisen_deploy.packaging"],
}
VERSION_LINE = re.compile(r'^version = "(.+)"$', re.MULTILINE)


class NotReleasable(Exception):
    """The reason why a distribution cannot be released in its present state."""


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Run a program and return what it prints.

    :raises NotReleasable: with the end of its output, if it fails.
    """
    env = {**os.environ, **(environment or {})}
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()[-2000:]
        raise NotReleasable(f"{' '.join(map(str, command))} failed:\n{output}")
    return done.stdout


def git(checkout: Path, *arguments: str) -> str:
    """Run git in a checkout, and return what it prints, without white space around it."""
    return run("git", *arguments, cwd=checkout).strip()


def project_of(name: str) -> str:
    """Return the full name of a distribution."""
    return name if name == "eisen-deploy" else f"eisen-deploy-{name}"


def version_in(checkout: Path, name: str) -> Version:
    """Return the version in ``pyproject.toml``, which is the only place that has it."""
    text = (checkout / FOLDERS[name] / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = VERSION_LINE.findall(text)
    return Version(version)


# --- building -----------------------------------------------------------------------------


def build(checkout: Path, name: str, folder: Path, targets: Sequence[str]) -> list[Path]:
    """Build ``sdist`` or ``wheel`` or both; their files carry the time of the last commit."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    command += [word for target in targets for word in ("--target", target)]
    time = {"SOURCE_DATE_EPOCH": git(checkout, "log", "-1", "--format=%ct")}
    run(*command, cwd=checkout / FOLDERS[name], environment=time)
    version = version_in(checkout, name)
    return sorted(folder.glob(f"{project_of(name).replace('-', '_')}-{version}*"))


def build_twice(
    root: Path, name: str, folder: Path, prepare: Callable[[Path], None]
) -> tuple[Path, Path]:
    """Build in two fresh clones below ``folder``.

    :param prepare: changes a clone before it is built.
    :returns: sdist and wheel, in ``folder``.
    :raises NotReleasable: if the two builds differ.
    """
    builds = []
    for number in ("first", "second"):
        clone = folder / number / "clone"
        run("git", "clone", "--quiet", root, clone, cwd=root)
        prepare(clone)
        builds.append(build(clone, name, folder / number / "dist", ("sdist", "wheel")))
    for one, other in zip(*builds, strict=True):
        if one.read_bytes() != other.read_bytes():
            raise NotReleasable(f"{one.name}: two builds of the same commit differ")
    wheel, sdist = builds[0]
    return sdist, wheel


# --- checking -----------------------------------------------------------------------------


def check_description(files: Sequence[Path]) -> None:
    """Let twine check the metadata, as the index does when a file is published."""
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=files[0].parent)


def check_sbom(wheel: Path, project: str, version: Version) -> None:
    """Check that a wheel has one SBOM, and that it describes this wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/sboms/" in name]
        sboms = [json.loads(archive.read(name)) for name in names]
    subjects = [sbom["metadata"]["component"] for sbom in sboms]
    found = [(subject["name"], subject["version"]) for subject in subjects]
    if found != [(project, str(version))]:
        raise NotReleasable(f"{wheel.name}: expected an SBOM of itself, got SBOMs of {found}")


def required_siblings(wheel: Path) -> list[str]:
    """Return which of our own distributions a wheel requires, apart from its extras."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesHeaderParser().parsebytes(archive.read(name))
    found = map(Requirement, metadata.get_all("Requires-Dist", []))
    required = {
        each.name for each in found if each.marker is None or each.marker.evaluate({"extra": ""})
    }
    return [name for name in FOLDERS if project_of(name) in required - {metadata["Name"]}]


def check_alone(wheel: Path, name: str, checkout: Path) -> None:
    """Install a wheel with what it requires into a fresh environment, and import it there.

    :param checkout: where our own distributions that the wheel requires are built; the index may
        not have them yet.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for sibling in required_siblings(wheel):
            build(checkout, sibling, folder / "siblings", ["wheel"])
        venv.create(folder / "environment", with_pip=True)
        python = folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip = (python, "-I", "-m", "pip", "--quiet", "--disable-pip-version-check")
        pins = {"PIP_CONSTRAINT": str(checkout / "tools" / "constraints.txt")}
        wheels = [wheel, *folder.glob("siblings/*.whl")]
        run(*pip, "install", *wheels, cwd=folder, environment=pins)
        run(*pip, "check", cwd=folder)
        run(python, "-I", "-c", f"import {', '.join(PACKAGES[name])}", cwd=folder)


def make(
    root: Path, name: str, folder: Path, prepare: Callable[[Path], None] = lambda _: None
) -> list[Path]:
    """Build and check a distribution, and put sdist and wheel into a folder.

    :param prepare: changes each clone of ``root`` before it is built.
    :raises NotReleasable: if any check fails; nothing is put into the folder then.
    """
    with tempfile.TemporaryDirectory() as temporary:
        sdist, wheel = build_twice(root, name, Path(temporary), prepare)
        clone = Path(temporary, "first", "clone")
        check_description([sdist, wheel])
        check_sbom(wheel, project_of(name), version_in(clone, name))
        check_alone(wheel, name, clone)
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(path, folder)) for path in (sdist, wheel)]


def report(files: Sequence[Path]) -> str:
    """Return the digest and the name of each file, a line for each."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return "\n".join(f"{digest}  {path.name}" for digest, path in zip(digests, files, strict=True))


# --- the command line ---------------------------------------------------------------------


def name_of(text: str, root: Path) -> str:
    """Return the distribution to which a name or a tag belongs.

    :raises NotReleasable: if it belongs to none, or the tag has another version.
    """
    name, is_tag, version = text.partition("-v")
    if name not in FOLDERS:
        raise NotReleasable(f"{text}: expected one of {', '.join(FOLDERS)}, or a tag of one")
    if is_tag and version != str(version_in(root, name)):
        raise NotReleasable(f"{text}: pyproject.toml has version {version_in(root, name)}")
    return name


def main() -> int:
    """Build and check the distributions that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = f"{', '.join(FOLDERS)}, or a tag, such as client-v0.2.0; default: all"
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(FOLDERS), help=names)
    parser.add_argument("--folder", type=Path, default=ROOT / "dist", help="default: dist")
    given = parser.parse_args()
    try:
        for name in [name_of(text, ROOT) for text in given.names]:
            print(report(make(ROOT, name, given.folder)), flush=True)
    except NotReleasable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
