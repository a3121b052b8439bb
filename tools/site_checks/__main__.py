"""Look at each page of the built documentation in Chromium: ``python -m site_checks --help``.

Each page is opened at the width of a telephone, of a laptop and of a wide screen. The pictures are
for people; the status is 1 if a page writes an error to the console, lacks a file, or scrolls
sideways, if a table is wider than its column on a laptop, or if the search finds nothing.
"""

from __future__ import annotations

import argparse
import functools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .browser import Browser, BrowserFailed

WIDTHS = (400, 1280, 1920)
LAPTOP = 1280
WORD = "affine"
SEARCH_SECONDS = 10.0
#: The pixels of a page that a picture shows.
HEIGHT = 8000
#: What is wider than it may be: the page itself, and what has no scroll bar of its own.
WIDE = """(() => {
    const found = [];
    const scrolls = (each) => each.localName != "article" && each.parentElement
        && (["auto", "scroll"].includes(getComputedStyle(each).overflowX)
            || scrolls(each.parentElement));
    const page = document.scrollingElement;
    if (page.scrollWidth > innerWidth) found.push(`the page is ${page.scrollWidth} wide`);
    for (const each of document.querySelectorAll("article table, article img, article pre")) {
        const box = each.closest(".table-wrapper, .highlight, pre") || each.parentElement;
        const right = Math.round(each.getBoundingClientRect().right);
        const start = each.textContent.trim().replace(/\\s+/g, " ").slice(0, 40);
        const name = `${each.localName} "${start}"`;
        if (!scrolls(each) && right > innerWidth) found.push(`${name} ends at ${right}`);
        if (each.localName == "table" && innerWidth >= LAPTOP && each.scrollWidth > box.clientWidth)
            found.push(`${name} is ${each.scrollWidth} wide, its column ${box.clientWidth}`);
    }
    return found;
})()""".replace("LAPTOP", str(LAPTOP))


class Handler(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """Send a file; the icon that browsers ask every site for is no fault of a page."""
        if self.path == "/favicon.ico":
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of loopback, and yield its address."""
    handler = functools.partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def check_page(browser: Browser, url: str, pictures: Path) -> Iterator[str]:
    """Yield what is wrong with a page, at each width."""
    name = url.rpartition("/")[2].removesuffix(".html")
    for width in WIDTHS:
        wrong = [*browser.open(url, width), *browser.evaluate(WIDE)]
        browser.picture(pictures / f"{name}-{width}.png", HEIGHT)
        yield from (f"{name}, {width} px: {each}" for each in wrong)


def check_search(browser: Browser, address: str, pictures: Path) -> Iterator[str]:
    """Yield what is wrong with the search for a word."""
    wrong = browser.open(f"{address}/search.html?q={WORD}", LAPTOP)
    count = "document.querySelectorAll('#search-results li a').length"
    deadline = time.monotonic() + SEARCH_SECONDS
    while not (found := browser.evaluate(count)) and time.monotonic() < deadline:
        time.sleep(0.2)
    browser.picture(pictures / "search-results.png", HEIGHT)
    yield from (f"search: {each}" for each in {*wrong, *browser.complaints()})
    if not found:
        yield f"search: nothing was found for {WORD}"


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="site_checks", description=__doc__)
    parser.add_argument("site", type=Path, help="the folder of the built documentation")
    parser.add_argument("--pages", nargs="*", metavar="NAME", help="only these")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="where the pictures go; default: screenshots beside the site",
    )
    return parser.parse_args()


def main() -> int:
    """Look at all pages, and print what is wrong."""
    arguments = read_arguments()
    pictures = arguments.pictures or arguments.site.parent / "screenshots"
    pictures.mkdir(parents=True, exist_ok=True)
    names = arguments.pages or sorted(path.stem for path in arguments.site.glob("*.html"))
    wrong = []
    try:
        with serving(arguments.site) as address, Browser() as browser:
            for name in names:
                wrong += check_page(browser, f"{address}/{name}.html", pictures)
            wrong += check_search(browser, address, pictures)
    except BrowserFailed as error:
        wrong.append(str(error))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(names)} pages in {len(WIDTHS)} widths; the pictures are in {pictures}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
