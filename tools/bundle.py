"""Make a folder from which a workstation without a network can install the client.

Usage: ``python tools/bundle.py [--platform win_amd64] [--python 3.9] [--extras nifti,dicom,cli]
[--folder FOLDER]``, in an environment that has ``hatchling`` and ``packaging``, as ``nox -s bundle
-- ARGUMENTS`` makes one. Without arguments the folder is for a machine like this one.

It contains only wheels, so that nothing is compiled on the workstation, and the digest of each. pip
cannot find out what another platform needs: it evaluates the conditions of requirements
(``; sys_platform == "win32"``) for the machine that it runs on. So pip downloads without
dependencies, and this program resolves them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename

from packaging import tags

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "packages" / "client"
CLIENT = "eisen-deploy-client"
#: The names that PEP 600 gives to the older tags of Linux, by the version of glibc they stand for.
LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
#: Choosing wheels takes a few rounds, unless two distributions keep excluding each other.
ROUNDS = 20

INSTALL = """\
{client} {version} for Python {python} on {platform}

Installs without a network. In this folder, best in a virtual environment:

    {command} -m pip install --no-index --find-links wheels --require-hashes -r requirements.txt

Then this prints the version:

    eisen-client --version

pip checks every file against its digest in requirements.txt, and uses no package index.
"""


class Target(NamedTuple):
    """A workstation: ``platform`` as a wheel's tag has it, ``python`` as ``3.9``."""

    platform: str
    python: str

    @property
    def is_windows(self) -> bool:
        """Whether it runs Windows."""
        return self.platform.startswith("win")

    @property
    def platforms(self) -> list[str]:
        """The tags of all wheels that run there, the best first."""
        linux = re.fullmatch(
            r"(manylinux\w*?)_((?:x86_64|aarch64|i686|ppc64le|s390x))", self.platform
        )
        mac = re.fullmatch(r"macosx_(\d+)_(\d+)_(\w+)", self.platform)
        if linux:
            return list(_manylinux(*linux.groups()))
        if mac:
            return list(tags.mac_platforms((int(mac[1]), int(mac[2])), mac[3]))
        return [self.platform]

    @property
    def tags(self) -> set[tags.Tag]:
        """All tags of a wheel that installs there."""
        major, minor = map(int, self.python.split("."))
        return {
            *tags.cpython_tags((major, minor), platforms=self.platforms),
            *tags.compatible_tags((major, minor), f"cp{major}{minor}", self.platforms),
        }

    @property
    def environment(self) -> dict[str, str]:
        """The values to which the conditions of requirements refer."""
        os_name, sys_platform, system = next(
            names for start, names in _SYSTEMS.items() if self.platform.startswith(start)
        )
        machine = re.sub(r"^(win|macosx_\d+_\d+|manylinux(?:_\d+_\d+|\d+))_", "", self.platform)
        return {
            "os_name": os_name,
            "sys_platform": sys_platform,
            "platform_system": system,
            "platform_machine": machine.upper() if self.is_windows else machine,
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_version": f"{self.python}.0",
            "platform_release": "",
            "platform_version": "",
        }


_SYSTEMS = {
    "win": ("nt", "win32", "Windows"),
    "manylinux": ("posix", "linux", "Linux"),
    "macosx": ("posix", "darwin", "Darwin"),
}


def _manylinux(name: str, machine: str) -> Iterator[str]:
    """Yield the tag of a Linux system and those of all older systems."""
    versions = {old: version for version, old in LEGACY.items()}
    newest = versions[name] if name in versions else int(name.rpartition("_")[2])
    for version in range(newest, 4, -1):
        yield f"manylinux_2_{version}_{machine}"
        if version in LEGACY:
            yield f"{LEGACY[version]}_{machine}"


def this_machine() -> Target:
    """Return the target that the running interpreter is."""
    # No index has wheels with the tag linux_*, so the first tag manylinux_* is used.
    platform = next(tag for tag in tags.platform_tags() if not tag.startswith("linux_"))
    return Target(platform, "{}.{}".format(*sys.version_info[:2]))


# --- wheels -------------------------------------------------------------------------------


def build_client(folder: Path) -> None:
    """Build the client's own wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*command, "--directory", str(folder)], cwd=PROJECT, check=True, stderr=subprocess.DEVNULL
    )


def download(requirements: Iterable[str], target: Target, folder: Path) -> None:
    """Download a wheel for each requirement, with pip."""
    command = [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
    command += [f"--platform={platform}" for platform in target.platforms]
    subprocess.run([*command, "--dest", str(folder), *requirements], check=True)


def wheels_in(folder: Path) -> dict[str, Path]:
    """Return the wheels in a folder by the names of their distributions, sorted."""
    wheels = folder.iterdir()
    return dict(sorted((str(parse_wheel_filename(path.name)[0]), path) for path in wheels))


def requirements_of(wheel: Path) -> list[Requirement]:
    """Return what a wheel requires, under whatever condition."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        metadata = BytesHeaderParser().parsebytes(archive.read(name))
    return [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]


def needed(wheels: Mapping[str, Path], extras: Sequence[str], target: Target) -> dict[str, str]:
    """Return what the client needs according to these wheels: requirements by name."""
    specifiers: dict[str, SpecifierSet] = {}
    waiting, seen = [(CLIENT, extra) for extra in ("", *extras)], set()
    while waiting:
        name, extra = each = waiting.pop()
        if each in seen or name not in wheels:
            continue
        seen.add(each)
        for requirement in requirements_of(wheels[name]):
            if applies(requirement, extra, target):
                other = str(canonicalize_name(requirement.name))
                known = specifiers.get(other, SpecifierSet())
                specifiers[other] = known & requirement.specifier
                waiting += [(other, more) for more in ("", *requirement.extras)]
    return {name: f"{name}{specifiers[name]}" for name in sorted(specifiers) if name != CLIENT}


def applies(requirement: Requirement, extra: str, target: Target) -> bool:
    """Whether a requirement applies to this workstation, with this extra."""
    marker = requirement.marker
    return marker is None or marker.evaluate({**target.environment, "extra": extra})


def collect(folder: Path, extras: Sequence[str], target: Target) -> dict[str, Path]:
    """Put the client's wheel and everything that it needs into a folder.

    :returns: the wheels by the names of their distributions.
    :raises RuntimeError: if no set of wheels is found.
    """
    build_client(folder)
    asked: dict[str, str] = {}
    for _ in range(ROUNDS):
        wheels = wheels_in(folder)
        wanted = needed(wheels, extras, target)
        for name in wheels.keys() - {CLIENT}:
            if wanted.get(name) != asked[name]:
                wheels[name].unlink()  # another version is wanted, or none
        new = [text for name, text in wanted.items() if asked.get(name) != text]
        if not new:
            return wheels_in(folder)
        download(new, target, folder)
        asked = wanted
    raise RuntimeError("found no versions that are compatible with each other")


# --- the folder ---------------------------------------------------------------------------


def pinned(wheels: Mapping[str, Path]) -> str:
    """Return a requirements file with the version and the digest of each wheel."""
    entries = []
    for name, path in wheels.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        version = parse_wheel_filename(path.name)[1]
        entries.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    return "".join(entries)


def install_text(client: Path, target: Target) -> str:
    """Return the instructions for the folder."""
    command = f"py -{target.python}" if target.is_windows else f"python{target.python}"
    version = parse_wheel_filename(client.name)[1]
    return INSTALL.format(client=CLIENT, version=version, command=command, **target._asdict())


def make(folder: Path, target: Target, extras: Sequence[str] = ()) -> None:
    """Make the bundle: ``wheels/``, ``requirements.txt``, ``INSTALL.txt``.

    :raises FileExistsError: if the folder exists already.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: remove it, or give --folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / "bundle"
        (made / "wheels").mkdir(parents=True)
        wheels = collect(made / "wheels", extras, target)
        text = install_text(wheels[CLIENT], target)
        (made / "requirements.txt").write_bytes(pinned(wheels).encode())
        (made / "INSTALL.txt").write_bytes(text.replace("\n", "\r\n").encode())  # for Notepad
        shutil.move(made, folder)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    here = this_machine()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--platform", default=here.platform, help="win_amd64, manylinux2014_x86_64, ...")
    add("--python", default=here.python, help="3.9 to 3.13")
    add("--extras", default="", help="of the client, with commas: nifti,dicom,png,cli")
    add("--folder", type=Path, help="default: dist/eisen-client-PYTHON-PLATFORM")
    given = parser.parse_args()
    if not re.fullmatch(r"3\.\d+", given.python):
        parser.error("--python is a version such as 3.11")
    if not given.platform.startswith(tuple(_SYSTEMS)):
        parser.error("--platform is the tag of a wheel: win_amd64, manylinux_2_28_x86_64, ...")
    return given


def main() -> int:
    """Make the bundle that the command line asks for."""
    given = arguments()
    target = Target(given.platform, given.python)
    extras = [extra.strip() for extra in given.extras.split(",") if extra.strip()]
    name = f"eisen-client-py{target.python}-{target.platform}"
    folder = given.folder or ROOT / "dist" / name
    try:
        make(folder, target, extras)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(os.path.relpath(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
