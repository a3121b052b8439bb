"""Check the links of the built documentation, and of the pages that are read without it.

``python -m site_checks.links docs/_build/html``; it needs no network. A link within the site, or
from README.md to a file, has to lead to something that is there, its anchor included. An address
elsewhere has to be one by its form: https, a host that can exist, and no index of packages; one
below the address of this repository has to name a file in it. The status is 1 if any is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/eisen-ai/eisen-deploy"
#: Pages that hosts of source and indexes of packages show.
ALONE = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "packages/*/*.md"]
_HOST = re.compile(r"([a-z0-9-]+\.)+[a-z]{2,}")
#: Hosts that only examples have (RFC 2606), and where packages are: a page names a project's site.
_NO_HOSTS = re.compile(r"(^|\.)(example|invalid|test|localhost|example\.(com|net|org))$")
#: What a link of Markdown, an address of its own, and a heading look like.
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?\)|<(https?://[^>]+)>")
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_UNDERLINED = re.compile(r"^(\S.*)\n(?:=+|-+|~+)$", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass
class Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take down where a tag leads, and what it is called."""
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and tag != "base":
                self.links.append(value or "")


def read_site(folder: Path) -> dict[Path, Page]:
    """Return the pages of a site by their paths."""
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        pages[path] = Page()
        pages[path].feed(path.read_text("utf-8"))
    return pages


def check_site(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the links of a built site."""
    pages = read_site(folder.resolve())
    if not pages:
        yield f"{folder}: no page is there"
    for path, page in pages.items():
        for link in page.links:
            wrong = _check_link(link, path, pages)
            if wrong:
                yield f"{path.relative_to(folder.resolve())}: {link}: {wrong}"


def _check_link(link: str, path: Path, pages: dict[Path, Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme == "data":
        return ""
    if parts.scheme or parts.netloc:
        return check_address(link)
    target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if not target.is_file():
        return "there is no such file"
    anchor = unquote(parts.fragment)
    known = target not in pages or not anchor or anchor in pages[target].anchors
    return "" if known else "there is no such place on that page"


def check_address(link: str) -> str:
    """Return what is wrong with an address of another site, as far as its form says."""
    if link.startswith(REPOSITORY):
        return _check_own_address(link)
    try:
        parts = urlsplit(link)
        host = parts.hostname or ""
    except ValueError:
        return "it is no address"
    if parts.scheme == "mailto":
        return ""
    if parts.scheme != "https":
        return f"expected https, got {parts.scheme}"
    if not _HOST.fullmatch(host):
        return "it has no host"
    if _NO_HOSTS.search(host) or parts.path.startswith("/simple"):
        return "a host for readers is expected"
    if "eisen-deploy" in parts.path and host == "github.com":
        return f"expected {REPOSITORY}"
    return "" if not parts.username else "it has a name or password"


def _check_own_address(link: str) -> str:
    rest = link[len(REPOSITORY) :].partition("#")[0]
    kind, _, name = rest.strip("/").partition("/")
    if kind in ("blob", "tree"):
        path = name.partition("/")[2]
        return "" if (ROOT / path).exists() else "there is no such file in the repository"
    known = kind in ("", "issues", "security", "releases", "discussions")
    return "" if known and rest[:1] in ("", "/") else f"expected {REPOSITORY}/..."


def check_alone(root: Path = ROOT) -> Iterator[str]:
    """Yield what is wrong with the links of pages that are read without the site."""
    for pattern in ALONE:
        for path in sorted(root.glob(pattern)):
            text = _CODE.sub("", path.read_text("utf-8"))
            links = [first or second for first, second in _LINK.findall(text)]
            for link in links:
                wrong = _check_file(link, path, root)
                if wrong:
                    yield f"{path.relative_to(root)}: {link}: {wrong}"


def _check_file(link: str, path: Path, root: Path) -> str:
    if "://" in link or link.startswith("mailto:"):
        return check_address(link)
    if path.parent != root:
        return "an index of packages shows this page alone: write the whole address"
    name, _, anchor = link.partition("#")
    target = path.parent / unquote(name) if name else path
    if not target.exists():
        return "there is no such file"
    if anchor and anchor not in set(_anchors_of(target.read_text("utf-8"))):
        return "there is no such heading in it"
    return ""


def _anchors_of(text: str) -> Iterable[str]:
    """Return the anchors that GitHub gives to headings."""
    for title in [*_HEADING.findall(text), *_UNDERLINED.findall(text)]:
        yield re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def main() -> int:
    """Print what is wrong with the links, one line each."""
    wrong = [*check_site(Path(sys.argv[1])), *check_alone()]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
