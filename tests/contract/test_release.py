"""A release is cut, built twice and checked before anything is committed, or is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import distributions
import pytest
from distributions import FOLDERS, NotReleasable, git, version_in
from packaging.version import Version
from release import check_version, commit_and_tag, cut, cut_changelog, parse_version, release

pytestmark = pytest.mark.slow  # each makes a repository

ROOT = Path(__file__).resolve().parent.parent.parent
CHANGELOG = """\
# Changelog

## Unreleased

### Added

- A thing.

## 0.1.0 - 2026-01-31

First release.
"""


@pytest.fixture(autouse=True)
def _identity(monkeypatch):
    """Commits of these tests do not need git to be set up."""
    for role, what in itertools.product(("AUTHOR", "COMMITTER"), ("NAME", "EMAIL")):
        monkeypatch.setenv(f"GIT_{role}_{what}", "tests@localhost")


@pytest.fixture
def checkout(tmp_path):
    """A repository with what a release changes, and no more."""
    folder = tmp_path / "checkout"
    client = folder / FOLDERS["client"]
    client.mkdir(parents=True)
    (client / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    (client / "CHANGELOG.md").write_text(CHANGELOG)
    git(folder, "init", "--quiet")
    commit_all(folder)
    return folder


def commit_all(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change something")


# --- the changelog ------------------------------------------------------------------------


def test_what_was_unreleased_is_in_the_section_of_the_version():
    after = cut_changelog(CHANGELOG, Version("0.2.0"), "2026-12-01")
    assert after == CHANGELOG.replace("## Unreleased\n", "## Unreleased\n\n## 0.2.0 - 2026-12-01\n")


@pytest.mark.parametrize(
    ("changelog", "version", "said"),
    [
        (CHANGELOG, "0.1.0", "has a section 0.1.0 already"),
        (CHANGELOG.replace("Unreleased", "Next"), "0.2.0", "has no section"),
        (CHANGELOG.replace("### Added\n\n- A thing.\n", ""), "0.2.0", "has nothing below"),
        ("## Unreleased\n", "0.2.0", "has nothing below"),
    ],
)
def test_a_changelog_that_cannot_be_cut(changelog, version, said):
    with pytest.raises(NotReleasable, match=said):
        cut_changelog(changelog, Version(version), "2026-12-01")


def test_a_changelog_is_cut_once():
    once = cut_changelog(CHANGELOG, Version("0.2.0"), "2026-12-01")
    with pytest.raises(NotReleasable, match="nothing below"):
        cut_changelog(once, Version("0.3.0"), "2026-12-02")


def test_another_version_that_begins_alike_is_another_one():
    text = CHANGELOG.replace("## 0.1.0 ", "## 0.2.0rc1 ")
    assert "## 0.2.0 - " in cut_changelog(text, Version("0.2.0"), "2026-12-01")


# --- versions -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0.2.0", "1.0.0", "10.20.30", "0.2.0rc1", "1.0.0a2"])
def test_versions(text):
    assert str(parse_version(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "0.2", "v0.2.0", "0.2.0.1", "00.2.0", "0.2.0-rc1", "0.2.0.dev1", "0.2.0+local", "1!0.2.0"],
)
def test_what_is_no_version(text):
    with pytest.raises(NotReleasable, match="expected a version such as"):
        parse_version(text)


@pytest.mark.parametrize(
    ("version", "current", "released"),
    [
        ("0.1.0", "0.1.0", []),  # the first release
        ("0.1.1", "0.1.0", ["0.1.0"]),
        ("0.10.0", "0.9.0", ["0.9.0", "0.2.0"]),
        ("0.2.0", "0.2.0rc1", ["0.2.0rc1"]),
    ],
)
def test_versions_that_grow(version, current, released):
    check_version(Version(version), Version(current), [Version(each) for each in released])


@pytest.mark.parametrize(
    ("version", "current", "released", "said"),
    [
        ("0.1.0", "0.1.0", ["0.1.0"], "0.1.0 has a tag already"),
        ("0.0.9", "0.1.0", [], "0.0.9 is older than 0.1.0"),
        ("0.9.0", "0.8.0", ["0.10.0"], "0.9.0 is older than 0.10.0"),
        ("0.2.0rc1", "0.2.0", [], "0.2.0rc1 is older than 0.2.0"),
    ],
)
def test_versions_that_do_not(version, current, released, said):
    with pytest.raises(NotReleasable, match=said):
        check_version(Version(version), Version(current), [Version(each) for each in released])


# --- refusals -----------------------------------------------------------------------------


def refusal(root, version, tmp_path):
    before = git(root, "rev-parse", "HEAD"), git(root, "tag"), git(root, "status", "--porcelain")
    with pytest.raises(NotReleasable) as refused:
        release(root, "client", Version(version), tmp_path / "dist", dry_run=False)
    after = git(root, "rev-parse", "HEAD"), git(root, "tag"), git(root, "status", "--porcelain")
    assert after == before
    assert not (tmp_path / "dist").exists()
    return str(refused.value)


def test_what_is_not_committed(checkout, tmp_path):
    (checkout / "new.txt").touch()
    assert "new.txt" in refusal(checkout, "99.0.0", tmp_path)


def test_a_tag_that_is_there(checkout, tmp_path):
    git(checkout, "tag", "client-v99.0.0")
    git(checkout, "tag", "handler-v99.1.0")  # another distribution's
    assert refusal(checkout, "99.0.0", tmp_path) == "99.0.0 has a tag already"


def test_a_version_older_than_a_tag(checkout, tmp_path):
    git(checkout, "tag", "client-v99.0.0")
    assert refusal(checkout, "98.0.0", tmp_path) == "98.0.0 is older than 99.0.0"


def test_nothing_to_release(checkout, tmp_path):
    (checkout / FOLDERS["client"] / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    commit_all(checkout)
    assert 'nothing below "## Unreleased"' in refusal(checkout, "99.0.0", tmp_path)


def test_the_name_or_a_tag_of_its_version_says_which_distribution():
    for name in FOLDERS:
        assert distributions.name_of(name, ROOT) == name
        assert distributions.name_of(f"{name}-v{version_in(ROOT, name)}", ROOT) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("client-v98.7.6", "client-v98.7.6: pyproject.toml has version"),
        ("server", "expected one of client, handler, packaging, eisen-deploy"),
        ("v0.1.0", "expected one of"),
    ],
)
def test_other_names_and_tags(text, said):
    with pytest.raises(NotReleasable, match=said):
        distributions.name_of(text, ROOT)


# --- what is built ------------------------------------------------------------------------


def test_two_builds_that_differ_are_refused(tmp_path):
    numbers = itertools.count()

    def change(checkout):
        (checkout / "packages/client/src/eisen_deploy/client/new.py").write_text(f"{next(numbers)}")

    with pytest.raises(NotReleasable, match="two builds of the same commit differ"):
        distributions.build_twice(ROOT, "client", tmp_path, change)


def test_which_of_our_own_each_wheel_requires(dist):
    required = {
        name: distributions.required_siblings(next(dist.glob(f"{stem}-[0-9]*.whl")))
        for name in FOLDERS
        for stem in [distributions.project_of(name).replace("-", "_")]
    }
    assert required == {
        "client": [],
        "handler": [],
        "packaging": ["handler"],
        "eisen-deploy": ["client", "handler", "packaging"],
    }


@pytest.mark.parametrize("sboms", [[], ["another-name"], ["eisen-deploy-client"] * 2])
def test_a_wheel_without_its_own_sbom(sboms, tmp_path):
    wheel = tmp_path / "eisen_deploy_client-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for number, name in enumerate(sboms):
            subject = f'{{"metadata": {{"component": {{"name": "{name}", "version": "1.0.0"}}}}}}'
            archive.writestr(f"eisen_deploy_client-1.0.0.dist-info/sboms/{number}.json", subject)
    with pytest.raises(NotReleasable, match="expected an SBOM of itself"):
        distributions.check_sbom(wheel, "eisen-deploy-client", Version("1.0.0"))


@pytest.fixture(scope="module")
def without_links(tmp_path_factory):
    """This repository as git clones it where no symbolic links can be made."""
    folder = tmp_path_factory.mktemp("without_links")
    git(folder, "-c", "core.symlinks=false", "clone", "--quiet", str(ROOT), ".")
    return folder


@pytest.mark.parametrize("name", ["client", "handler", "packaging"])
@pytest.mark.parametrize("call", ["build_editable", "build_wheel", "build_sdist"])
def test_a_checkout_without_symbolic_links_is_refused_in_a_sentence(
    name, call, without_links, tmp_path
):
    program = f"import hatchling.build; hatchling.build.{call}({str(tmp_path / 'dist')!r})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=without_links / FOLDERS[name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "_shared is a text file where a symbolic link to a folder belongs" in sentence
    assert "git clone -c core.symlinks=true" in sentence
    assert not list(tmp_path.glob("dist/*"))


@pytest.mark.slow  # half a minute
def test_a_dry_run_changes_nothing_and_checks_what_is_built_of_the_tag(
    tmp_path, without_index, monkeypatch
):
    for name, value in without_index.items():
        monkeypatch.setenv(name, value)
    clone, version = tmp_path / "clone", Version("99.0.0")
    git(ROOT, "clone", "--quiet", str(ROOT), str(clone))
    before = git(clone, "rev-parse", "HEAD")
    said = release(clone, "client", version, tmp_path / "dry", dry_run=True)
    assert said.endswith("this was a dry run.")
    assert git(clone, "rev-parse", "HEAD") == before
    assert not git(clone, "tag", "--list", "client-v*")
    assert not git(clone, "status", "--porcelain")

    cut(clone, "client", version, datetime.now(timezone.utc).date().isoformat())
    assert commit_and_tag(clone, "client", version) == "client-v99.0.0"
    assert git(clone, "rev-parse", "client-v99.0.0^{commit}^") == before
    assert git(clone, "diff", "--name-only", before, "client-v99.0.0").split() == [
        "packages/client/CHANGELOG.md",
        "packages/client/pyproject.toml",
    ]
    assert distributions.name_of("client-v99.0.0", clone) == "client"
    for file in distributions.build_twice(clone, "client", tmp_path / "tagged", lambda _: None):
        assert (tmp_path / "dry" / file.name).read_bytes() == file.read_bytes()
