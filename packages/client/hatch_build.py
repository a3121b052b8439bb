"""What a build does here beyond hatchling's defaults; the same file lies in each package.

It refuses a checkout without symbolic links, and describes each wheel to programs that look for
known vulnerabilities (an SBOM by CycloneDX, in the wheel's folder ``sboms``, see PEP 770).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NO_LINKS = """\
{} is a text file where a symbolic link to a folder belongs, since git made this checkout without \
symbolic links: clone again with "git clone -c core.symlinks=true" (on Windows with its Developer \
Mode switched on)."""


class BuildHook(BuildHookInterface[Any]):
    """Called by hatchling around each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Check the shared source, and add the SBOM to a wheel."""
        for shared in self._shared_folders():
            if not shared.is_dir():
                raise SystemExit(NO_LINKS.format(shared))
        # For wheels alone, and not with hatchling 1.27, the last one for Python 3.9.
        if "sbom_files" in build_data:
            self._temporary = tempfile.TemporaryDirectory()
            path = Path(self._temporary.name, f"{self.metadata.core.name}.cdx.json")
            path.write_text(json.dumps(self._sbom(), indent=2) + "\n", encoding="utf-8")
            build_data["sbom_files"].append(str(path))

    def finalize(
        self,
        version: str,  # noqa: ARG002
        build_data: dict[str, Any],
        artifact_path: str,  # noqa: ARG002
    ) -> None:
        """Remove the file that was made for the wheel."""
        if "sbom_files" in build_data:
            self._temporary.cleanup()

    def _shared_folders(self) -> list[Path]:
        return sorted(Path(self.root).glob("src/**/_shared"))

    def _sbom(self) -> dict[str, Any]:
        """Return what the wheel is and holds, and what it requires beside it."""
        core = self.metadata.core
        purl = f"pkg:pypi/{core.name}@{core.version}"
        parts = [*self._shared_source(), *self._required()]
        itself = {
            "type": "library",
            "bom-ref": purl,
            "name": core.name,
            "version": core.version,
            "description": core.description,
            "licenses": [{"expression": core.license_expression}],
            "purl": purl,
        }
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.7",
            "version": 1,
            "metadata": {"component": itself},
            "components": parts,
            "dependencies": [{"ref": purl, "dependsOn": [part["bom-ref"] for part in parts]}],
        }

    def _shared_source(self) -> Iterator[dict[str, Any]]:
        """Yield the source that every wheel holds privately; equal digests show equal sources."""
        for folder in self._shared_folders():
            digest = hashlib.sha256()
            for path in sorted(folder.rglob("*.py")):
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(path.read_bytes())
            yield {
                "type": "library",
                "bom-ref": "eisen-deploy-shared",
                "name": "eisen-deploy-shared",
                "description": "What all parts of Eisen-Deploy agree on: packages/shared",
                "hashes": [{"alg": "SHA-256", "content": digest.hexdigest()}],
            }

    def _required(self) -> Iterator[dict[str, Any]]:
        """Yield the distributions that are installed with this one, always or with an extra."""
        core = self.metadata.core
        always = {canonicalize_name(Requirement(text).name) for text in core.dependencies}
        extras = [text for texts in core.optional_dependencies.values() for text in texts]
        texts: dict[str, list[str]] = {}
        for text in dict.fromkeys([*core.dependencies, *extras]):
            texts.setdefault(canonicalize_name(Requirement(text).name), []).append(text)
        for name in sorted(texts.keys() - {core.name}):
            yield {
                "type": "library",
                "bom-ref": f"pkg:pypi/{name}",
                "name": name,
                "scope": "required" if name in always else "optional",
                "purl": f"pkg:pypi/{name}",
                "isExternal": True,
                "properties": [{"name": "requires-dist", "value": text} for text in texts[name]],
            }
