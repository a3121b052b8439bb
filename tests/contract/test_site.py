"""``site_checks`` finds links that lead nowhere, and what is wrong with a page in a browser."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from site_checks.__main__ import check_page, check_search, serving  # noqa: E402
from site_checks.browser import NAMES, Browser  # noqa: E402
from site_checks.links import check_address, check_alone, check_site  # noqa: E402

PAGE = '<h1 id="top">T</h1><a href="{}">there</a><img src="picture.png">'


@pytest.fixture
def site(tmp_path):
    """A site of two pages: ``site(what the first links to) -> what is wrong``."""
    (tmp_path / "picture.png").touch()
    (tmp_path / "other.html").write_text('<p id="place"></p>')

    def check(link):
        (tmp_path / "index.html").write_text(PAGE.format(link))
        return list(check_site(tmp_path))

    return check


@pytest.mark.parametrize(
    "link", ["#top", "other.html", "other.html#place", "picture.png", "", "data:image/png,x"]
)
def test_links_that_lead_somewhere(site, link):
    assert site(link) == []


@pytest.mark.parametrize("link", ["#bottom", "other.html#top", "gone.html", "images/picture.png"])
def test_links_that_lead_nowhere(site, link):
    (wrong,) = site(link)
    assert wrong.startswith(f"index.html: {link}: there is no such ")


def test_a_folder_without_pages(tmp_path):
    assert len(list(check_site(tmp_path))) == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://pytorch.org/docs/#x",
        "https://github.com/eisen-ai/eisen-deploy",
        "https://github.com/eisen-ai/eisen-deploy/issues",
        "https://github.com/eisen-ai/eisen-deploy/blob/main/docs/install.rst",
        "mailto:someone@eisen.ai",
    ],
)
def test_addresses_that_can_be(link):
    assert check_address(link) == ""


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("http://pytorch.org", "expected https"),
        ("https://server:8080/x", "no host"),
        ("https://models.hospital.example/x", "a host for readers"),
        ("https://packages.pytorch.org/simple/torch", "a host for readers"),
        ("https://github.com/eisen-ai/eisen-deploy/blob/main/docs/gone.rst", "no such file"),
        ("https://github.com/eisen-ai/eisen-deploy-old", "expected https://github.com"),
        ("https://github.com/other/eisen-deploy", "expected https://github.com"),
        ("https://me:secret@github.com/x/y", "a name or password"),
    ],
)
def test_addresses_that_cannot_be(link, wrong):
    assert wrong in check_address(link)


def test_the_pages_that_are_read_alone_lead_somewhere(tmp_path):
    assert list(check_alone()) == []
    (tmp_path / "packages" / "client").mkdir(parents=True)
    (tmp_path / "README.md").write_text("# A b\n[x](#a-b) [y](#c) [z](gone.md) `[no](link)`")
    (tmp_path / "packages" / "client" / "README.md").write_text("[x](../../README.md)")
    assert [each.partition(": ")[0] for each in check_alone(tmp_path)] == [
        "README.md",
        "README.md",
        "packages/client/README.md",
    ]


# --- in a browser -------------------------------------------------------------------------------

WIDE = "<table><tr><td>{}</table>".format("wide" * 500)
SCROLLED = "<div class='table-wrapper' style='overflow-x: auto'>{}</div>"
FOUND = "<ul id='search-results'><li><a href='x'>x</a></li></ul>"


@pytest.fixture(scope="module")
def browser():
    if not any(map(shutil.which, NAMES)):
        pytest.skip("no Chromium on this machine")
    with Browser() as browser:
        yield browser


@pytest.fixture
def look(browser, tmp_path):
    """Open a page: ``look(check, name, body) -> what is wrong``."""

    def _look(check, name, body):
        page = f"<!doctype html><title>t</title><body>{body}</body>"
        (tmp_path / name).write_text(page, "utf-8")
        with serving(tmp_path) as address:
            url = address if check is check_search else f"{address}/{name}"
            return list(check(browser, url, tmp_path))

    return _look


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("<script>console.error('no', 7)</script>", "console: no 7"),
        ("<script>nothing.there</script>", "nothing is not defined"),
        ("<img src='gone.png'>", "404"),
        (f"<article>{WIDE}</article>", "the page is"),
        (f"<article>{SCROLLED.format(WIDE)}</article>", "its column"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(look, body, wrong):
    assert wrong in "\n".join(look(check_page, "page.html", body))


@pytest.mark.slow
def test_a_page_that_is_right(look, tmp_path):
    assert look(check_page, "page.html", "<article><table><tr><td>x</table></article>") == []
    for width in (400, 1280, 1920):
        assert (tmp_path / f"page-{width}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_search_that_finds_nothing(look, monkeypatch):
    monkeypatch.setattr("site_checks.__main__.SEARCH_SECONDS", 0.5)
    assert look(check_search, "search.html", "") == ["search: nothing was found for affine"]
    assert look(check_search, "search.html", FOUND) == []
