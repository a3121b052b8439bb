"""What a server has of that which is installed here: torch, numpy and an archive's requirements."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from eisen_deploy.packaging._capture import installed, module_search
from eisen_deploy.packaging._errors import ProofFailed
from eisen_deploy.packaging._shared.archive.description import Description
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .exchange import Allowed

#: What every server has.
BASE = ("numpy", "torch")

_UNIX = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix")
_KERNEL = ("/proc", "/sys", "/dev", "/run")
_MACOS = ("/System", "/Library")
_WINDOWS = ("SYSTEMROOT", "PROGRAMFILES")


def find_allowed_imports(about: Description) -> tuple[Allowed, dict[str, str]]:
    """Return what an archive may import here, and the distribution of each of its roots.

    :raises ProofFailed: with each requirement that is not met here.
    """
    problems = [found for text in about.requirements if (found := _explain_unmet(text))]
    if problems:
        raise ProofFailed(problems)
    server = [*BASE, *(["torchserve"] if "ts" in about.modules else [])]
    wanted = map(Requirement, [*server, *about.requirements])
    roots, owners, sites = {}, {}, set()
    names = sorted(installed.collect_with_dependencies(wanted))
    for name in names:
        folder = str(installed.get_folder(name))
        sites.add(folder)
        for root in installed.find_import_roots(name):
            roots[root], owners[root] = folder, name
    for root, (folder, name) in _find_editable_roots(about).items():
        roots[root], owners[root] = folder, name
    allowed: Allowed = {
        "roots": roots,
        "distributions": names,
        "sites": sorted(sites),
        "folders": [*_list_system_folders(), *sorted({*sites, *roots.values()})],
    }
    return allowed, owners


def _list_system_folders() -> list[str]:
    """Return the folders of the system and of Python."""
    system = [*_UNIX, *_KERNEL, *_MACOS]
    if sys.platform == "win32":
        system = [os.environ[name] for name in _WINDOWS if name in os.environ]
    return [*system, sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]


def _explain_unmet(text: str) -> str | None:
    """Say why what is installed here is not what a requirement asks for."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return f"requirements: {text!r} is not a requirement"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    if not installed.is_installed(requirement.name):
        return f"requirements: {text} is not installed here, so it cannot be proved to suffice"
    version = installed.get_version(requirement.name)
    if not requirement.specifier.contains(version, prereleases=True):
        return (
            f"requirements: {text} is recorded and {requirement.name} {version} is installed "
            "here, so what is proved here would not be proved for the server: make them agree"
        )
    return None


def _find_editable_roots(about: Description) -> dict[str, tuple[str, str]]:
    """Return folder and distribution of the modules that lie in a working copy of a requirement."""
    names = {canonicalize_name(Requirement(text).name) for text in about.requirements}
    roots = {}
    for module in about.modules:
        spec = module_search.find_spec(module)
        owner = installed.find_editable_owner(spec.origin) if spec else None
        if spec and spec.origin and owner in names:
            depth = module.count(".") + (spec.submodule_search_locations is not None)
            roots[module] = str(Path(spec.origin).parents[depth]), owner
    return roots
