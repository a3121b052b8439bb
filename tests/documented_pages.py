"""The code blocks of the documentation's pages, as a reader sees them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PROMPT = "$ "
#: Pages by the name that ``read_blocks`` takes: those of the site, and those that are read alone.
PAGES = [
    *sorted(path.stem for path in DOCS.glob("*.rst")),
    *("README.md", "CONTRIBUTING.md", "SECURITY.md"),
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("packages/*/README.md")),
]

_BLOCK = re.compile(r"^( *)\.\. code-block:: (\S+)\n((?:\1 .*\n|\n)+)", re.MULTILINE)
_FENCED = re.compile(r"^( *)```(\S*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", re.DOTALL)
_CAPTION = re.compile(r"\A *:caption: (.+)\n")


@dataclass(frozen=True)
class Step:
    """A command, and what is printed below it."""

    command: str
    output: str


@dataclass(frozen=True)
class Block:
    """A code block.

    :param caption: the file into which it goes, or nothing.
    :param line: where it begins on its page.
    """

    language: str
    caption: str
    text: str
    line: int = 0

    @property
    def steps(self) -> list[Step]:
        """The commands of a console, in their order; without prompts, each line is one.

        A line that ends in a backslash goes on in the next one.
        """
        if not self.text.startswith(PROMPT):
            return [Step(line, "") for line in self.text.splitlines()]
        _, *parts = re.split(rf"^{re.escape(PROMPT)}", self.text, flags=re.MULTILINE)
        return [Step(*_COMMAND.fullmatch(part).groups()) for part in parts]


def read_page(page: str) -> str:
    """Return the text of a page: ``read_page("tutorial")``, ``read_page("README.md")``."""
    path = ROOT / page if page.endswith(".md") else DOCS / f"{page}.rst"
    return path.read_text("utf-8")


def read_blocks(page: str) -> Iterator[Block]:
    """Yield the code blocks of a page: ``read_blocks("tutorial")``."""
    text = read_page(page) + "\n"
    for match in (_FENCED if page.endswith(".md") else _BLOCK).finditer(text):
        _, language, body = match.groups()
        caption = _CAPTION.match(body)
        shown = textwrap.dedent(body[caption.end() :] if caption else body).strip("\n")
        line = text.count("\n", 0, match.start()) + 1
        yield Block(language, caption[1] if caption else "", f"{shown}\n", line)


def commands_of(page: str) -> list[str]:
    """Return the commands that a page shows."""
    consoles = [block for block in read_blocks(page) if block.language == "console"]
    return [step.command for block in consoles for step in block.steps]


def code_of(page: str) -> str:
    """Return the Python blocks of a page, one after the other."""
    return "\n".join(block.text for block in read_blocks(page) if block.language == "python")


def is_printed(expected: str, printed: str) -> bool:
    """Whether something was printed as a page shows it.

    On the page, ``...`` stands for any text in a line, and alone for any lines.
    """
    pattern = "".join(
        "(?:.*\n)*" if line.strip() == "..." else f"{_any_text(line)}\n"
        for line in expected.splitlines()
    )
    shown = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    return re.fullmatch(pattern, shown) is not None


def _any_text(line: str) -> str:
    return re.escape(line.rstrip()).replace(re.escape("..."), ".*")
