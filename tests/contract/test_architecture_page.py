"""The page on the architecture shows every folder of the source, and names nothing that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from house import modules_of, source_roots

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
ROOTS = {
    f"eisen_deploy.{root.name}" if root.name != "shared" else "_shared": root
    for root in source_roots(ROOT).values()
}
#: A module or a folder as the pages write it: ``answering.pipeline``, ``runtime/torchserve``.
NAME = re.compile(r"``([a-z_]+(?:[./][a-z_]+)*)``")
#: What only looks like one: names inside archives, and links to the shared source.
OTHER_NAMES = {"_eisen_serving", "eisen.json", "_shared", "runtime/_shared"}


def read_tree(page: str) -> set[Path]:
    """Return the folders and modules that the page's source tree shows."""
    block = page.partition(".. code-block:: text\n\n")[2].partition("\n\n")[0]
    parents: list[tuple[int, Path]] = []
    paths = set()
    for line in block.splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        parents = [each for each in parents if each[0] < indent]
        parent = parents[-1][1] if parents else ROOT
        path = parent / (name if name.endswith("/") else f"{name}.py")
        parents.append((indent, path))
        paths.add(path)
    return paths


def missing_folders(page: str) -> list[str]:
    """Return the folders of the source that the page's source tree does not show."""
    folders = {path.parent for root in ROOTS.values() for path in modules_of(root).values()}
    return sorted(str(path.relative_to(ROOT)) for path in folders - read_tree(page))


def unknown_names(page: str) -> list[str]:
    """Return what the page names although no module or folder has that name."""
    known = set()
    for package, root in ROOTS.items():
        for name in modules_of(root):
            parts = f".{package}.{name}".split(".")
            known |= {".".join(parts[:end]) for end in range(2, len(parts) + 1)}
    paths = [path for path in read_tree(page) if not path.exists()]
    names = set(NAME.findall(page)) - OTHER_NAMES
    gone = {
        name
        for name in names
        if not any(each.endswith(f".{name.replace('/', '.')}") for each in known)
        and not (ROOT / name).exists()
    }
    return sorted([*gone, *(str(path.relative_to(ROOT)) for path in paths)])


def test_the_page_shows_every_folder_and_names_what_exists():
    page = (DOCS / "architecture.rst").read_text("utf-8")
    assert missing_folders(page) == []
    assert unknown_names(page) == []


def test_the_decisions_name_folders_that_exist():
    page = (DOCS / "decisions.rst").read_text("utf-8")
    paths = [name for name in NAME.findall(page) if "/" in name]
    assert paths
    assert unknown_names(" ".join(f"``{path}``" for path in paths)) == []


@pytest.mark.parametrize(
    ("old", "new", "look"),
    [
        ("           dicom/  ", "           photographs/  ", missing_folders),
        ("           dicom/  ", "           photographs/  ", unknown_names),
        ("         _mar  ", "         _pack  ", unknown_names),
        ("``answering.pipeline``", "``answering.steps``", unknown_names),
    ],
)
def test_a_page_that_is_out_of_date_is_found(old, new, look):
    page = (DOCS / "architecture.rst").read_text("utf-8")
    assert look(page.replace(old, new, 1)) != []
