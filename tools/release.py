"""Make the next version of one distribution: ``python tools/release.py client 0.2.0 --dry-run``.

It needs an environment that has ``hatchling``, ``packaging`` and ``twine``;
``python3 tools/dev.py release -- client 0.2.0 --dry-run`` makes one. The version is written to
``pyproject.toml``, the section "Unreleased" of ``CHANGELOG.md`` becomes the section of that
version, and the result is built and checked (``tools/distributions.py``), all in clones. If
nothing is wrong, and without ``--dry-run``, the same change is committed here and tagged
``client-v0.2.0``. Pushing the tag publishes the release (``.github/workflows/release.yml``).
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from distributions import (
    FOLDERS,
    ROOT,
    VERSION_LINE,
    NotReleasable,
    git,
    make,
    project_of,
    report,
    run,
    version_in,
)
from packaging.version import Version

UNRELEASED = "## Unreleased\n"
SPELLING = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")


def parse_version(text: str) -> Version:
    """Read a version.

    :raises NotReleasable: if it is not written in the canonical form.
    """
    if not SPELLING.fullmatch(text) or str(Version(text)) != text:
        raise NotReleasable(f"{text!r}: expected a version such as 0.2.0 or 0.2.0rc1")
    return Version(text)


def released_versions(root: Path, name: str) -> list[Version]:
    """Return the versions of a distribution that have a tag."""
    tags = git(root, "tag", "--list", f"{name}-v*").split()
    return [parse_version(tag.removeprefix(f"{name}-v")) for tag in tags]


def check_version(version: Version, current: Version, released: list[Version]) -> None:
    """Check that a version is newer than all before.

    :param current: the version in ``pyproject.toml``, which may still be unreleased.
    :raises NotReleasable: if the version was released already, or is older than another one.
    """
    if version in released:
        raise NotReleasable(f"{version} has a tag already")
    newest = max([current, *released])
    if version < newest:
        raise NotReleasable(f"{version} is older than {newest}")


def check_tree(root: Path) -> None:
    """Check that there are no uncommitted changes.

    :raises NotReleasable: if there are any.
    """
    changed = git(root, "status", "--porcelain")
    if changed:
        raise NotReleasable(f"commit or remove what is not committed:\n{changed}")


# --- the change ---------------------------------------------------------------------------


def cut_changelog(text: str, version: Version, date: str) -> str:
    """Return a changelog in which the unreleased entries are in the section of a version.

    :raises NotReleasable: if nothing is unreleased, or the version has a section already.
    """
    if re.search(rf"^## {re.escape(str(version))}\b", text, re.MULTILINE):
        raise NotReleasable(f"CHANGELOG.md has a section {version} already")
    before, found, after = text.partition(UNRELEASED)
    if not found:
        raise NotReleasable('CHANGELOG.md has no section "## Unreleased"')
    if not after.partition("\n## ")[0].strip():
        raise NotReleasable('CHANGELOG.md has nothing below "## Unreleased"')
    return f"{before}{UNRELEASED}\n## {version} - {date}\n{after}"


def cut(checkout: Path, name: str, version: Version, date: str) -> None:
    """Write the version, and the changelog if there is one, into a checkout."""
    folder = checkout / FOLDERS[name]
    project, changelog = folder / "pyproject.toml", folder / "CHANGELOG.md"
    text = project.read_text(encoding="utf-8")
    project.write_text(VERSION_LINE.sub(f'version = "{version}"', text), encoding="utf-8")
    if changelog.exists():  # eisen-deploy, which only brings the others, has none
        text = changelog.read_text(encoding="utf-8")
        changelog.write_text(cut_changelog(text, version, date), encoding="utf-8")


def commit_and_tag(root: Path, name: str, version: Version) -> str:
    """Commit the change and tag it; return the tag."""
    # With its parent's date, builds of the tag are equal to what was built and checked here.
    time = git(root, "log", "-1", "--format=%ct +0000")
    dates = {"GIT_AUTHOR_DATE": time, "GIT_COMMITTER_DATE": time}
    title, tag = f"Release {project_of(name)} {version}", f"{name}-v{version}"
    commit = ("git", "commit", "--quiet", "--all", "--allow-empty", "--message", title)
    run(*commit, cwd=root, environment=dates)
    git(root, "tag", "--annotate", tag, "--message", f"{project_of(name)} {version}")
    return tag


def release(root: Path, name: str, version: Version, folder: Path, *, dry_run: bool) -> str:
    """Make a release, or only check that it can be made; return what to print.

    :raises NotReleasable: if it cannot be made; nothing has changed then.
    """
    check_tree(root)
    check_version(version, version_in(root, name), released_versions(root, name))
    date = datetime.now(timezone.utc).date().isoformat()
    change = partial(cut, name=name, version=version, date=date)
    files = report(make(root, name, folder, prepare=change))
    if dry_run:
        return f"{files}\nNothing is committed or tagged: this was a dry run."
    change(root)
    tag = commit_and_tag(root, name, version)
    branch = git(root, "branch", "--show-current")
    return f"{files}\nPublish it: git push --atomic origin {branch} {tag}"


def main() -> int:
    """Make the release that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=FOLDERS, help="which distribution")
    parser.add_argument("version", help="such as 0.2.0, newer than all before")
    parser.add_argument("--dry-run", action="store_true", help="check everything, change nothing")
    parser.add_argument("--folder", type=Path, default=ROOT / "dist", help="default: dist")
    given = parser.parse_args()
    try:
        version = parse_version(given.version)
        print(release(ROOT, given.name, version, given.folder, dry_run=given.dry_run))
    except NotReleasable as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
