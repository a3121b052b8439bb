"""The code blocks of the documentation, run as they are printed (``documented_rules``).

The code of a page runs first, as one script; then its commands are typed. The servers of the pages
are here, on other ports, and volumes are smaller.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from tests.client.cli.conftest import slices_of, write_dicom

from eisen_deploy.serving.engines.torchserve.launcher import free_ports
from eisen_deploy.serving.engines.torchserve.settings.java import find_java

from .running_command import READY
from .typed_terminal import Terminal

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import documented_rules as rules  # noqa: E402
from documented_pages import PAGES, is_printed, read_blocks  # noqa: E402

KEY = "the-inference-key"
#: Pages whose commands are about archives that are there already.
PACKED = {"eisen-serve", "eisen-serve-doctor", "kubernetes", "server", "packages/handler/README.md"}
#: What a command writes and another one of the same page writes again.
OUTPUTS = ("mask.nii.gz", "seg.dcm", "results.npz")
#: Statuses of commands that find what they look for, or show an error.
STATUSES = {
    "eisen-pack diff": 1,
    "eisen-pack predict seg.mar": 19,
    "eisen-client check": 15,
    "eisen-serve doctor server/uvicorn.sh": 0,
    "eisen-serve doctor": 1,
}
#: What differs from one run to the next, on a page and here.
VARIES = [
    (r"\b[0-9a-f]{16,64}\b", "<digest>"),
    (r"\b[0-9a-f]{8}\.\.\.", "<digest>"),
    (r"\b\d+ files\b", "<files>"),
    (r"\b\d+(\.\d+)? [kKMG]?i?B\b", "<size>"),
    (r"\b\d+(\.\d+)? (ms|s)\b", "<time>"),
    (r"\b\d+ x \d+ x \d+\b", "<shape>"),
    (r"/\S+/eisen-serve-\w+/", "<folder>/"),
    # A page's server is another machine.
    (r"warning  none: data and token can be read on the way", "ok  none"),
    # Columns are as wide as what is in them.
    (r"(?<=\S) {2,}", "  "),
]


def runs(page):
    """The blocks of a page that are run."""
    return [
        block
        for block in read_blocks(page)
        if block.language in rules.RUN
        and rules.find_exception(page, block) is None
        and (block.language != "console" or any(rules.commands_to_run(block)))
    ]


TYPED = [page for page in PAGES if page not in rules.PAGES_RUN_BY and runs(page)]


@pytest.fixture(scope="module")
def variables(server_python, tmp_path_factory):
    """The environment of a reader, whose curl shows no progress, as here is no terminal."""
    home = tmp_path_factory.mktemp("home")
    (home / ".curlrc").write_text("silent\nshow-error\n")
    own = {name: value for name, value in os.environ.items() if not name.startswith("EISEN_")}
    own.pop("PYTHONPATH", None)
    java = find_java(str(server_python))
    place = {} if java.home is None else {"JAVA_HOME": java.home}
    return {
        **own,
        **place,
        "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
        "KEY": KEY,
        "EISEN_TOKEN": KEY,
        "XDG_CONFIG_HOME": str(home),
        "CURL_HOME": str(home),
    }


@pytest.fixture(scope="module")
def world(variables, tmp_path_factory):
    """A folder with the files and archives of the pages."""
    folder = tmp_path_factory.mktemp("world")
    for path in (HERE / "documented").glob("*.py"):
        shutil.copy(path, folder)
    # Without bytecode, which would be that of a network before it changes.
    command = [sys.executable, "-B", "make_world.py"]
    subprocess.run(command, cwd=folder, env=variables, check=True)
    (folder / "series").mkdir()
    volume = np.arange(24 * 20 * 6).reshape(24, 20, 6).astype(np.int16)
    for number, image in enumerate(slices_of(volume, np.diag([-0.8, -0.8, 3, 1]))):
        write_dicom(folder / "series" / f"{number}.dcm", image)
    return folder


@pytest.fixture(scope="module")
def server(serve, world):
    """The models to which the pages send requests."""
    archives = ["seg.mar", "model.mar", "skin.mar"]
    return serve(world / "model_zoo", archives, {"disable_token_authorization": "true"})


@pytest.fixture
def folder(world, variables, tmp_path, page):
    """A copy of the world, with archives if the page takes them for granted."""
    folder = tmp_path / "page"
    shutil.copytree(world, folder, ignore=lambda *_: [] if page in PACKED else ["model_zoo"])
    if page == "eisen-serve-doctor":
        write = "eisen-serve config --engine uvicorn model_zoo/seg.mar -o server"
        subprocess.run(write.split(), cwd=folder, env=variables, check=True, capture_output=True)
    return folder


@pytest.fixture
def here(request, page):
    """Replace the servers of a page by those that are here."""
    text = "".join(block.text for block in runs(page))
    if not re.search(r"(server|localhost):8080", text):
        return lambda text: text
    server = request.getfixturevalue("server")
    address = server.inference_url.removeprefix("http://")
    # In these, the archive of the page is called ``model``.
    images = page == "README.md"

    def replace(text):
        text = re.sub(r"\b(server|localhost):8080\b", address, text)
        text = text.replace("the inference key", KEY)
        return text.replace("predictions/model", "predictions/seg") if images else text

    return replace


def run_code(page, folder, variables, here):
    """Run the Python blocks of a page as one script."""
    lines = ["from names import *"]
    for block in runs(page):
        if block.language == "pycon":
            lines.append(f"check_session({block.text!r}, globals())")
        elif block.language == "python":
            lines.append(here(block.text))
            if named := re.match(r"# (\S+\.py)\n", block.text):
                (folder / named[1]).write_text(block.text, "utf-8")
    if len(lines) > 1:
        (folder / "page.py").write_text("\n".join(lines), "utf-8")
        command = [sys.executable, "-W", "error", "page.py"]
        place = {**variables, "URL": here("http://localhost:8080/predictions/seg")}
        done = subprocess.run(
            command, cwd=folder, env=place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def vary(text):
    for pattern, name in VARIES:
        text = re.sub(pattern, name, text)
    return text.rstrip()


class Reader:
    """Types the commands of a page; one that goes on running is interrupted."""

    def __init__(self, folder, variables):
        self._place = (folder, variables)
        self._stack = ExitStack()

    def __enter__(self):
        self._open()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def follow(self, command, output):
        """Type a command, and compare what it prints with what the page shows."""
        runs_on = command.startswith("eisen-serve run ")
        if runs_on:
            (port,) = free_ports(1)
            command = f"{rules.without_comment(command)} --port {port}"
            output = re.sub(r":808([012])\b", lambda match: f":{port + int(match[1])}", output)
        printed, status = self._terminal.type(command, 120, READY if runs_on else None)
        if output:
            assert is_printed(vary(output), vary(printed)), f"$ {command}\n{printed}\n{output}"
        expected = next((STATUSES[each] for each in STATUSES if command.startswith(each)), 0)
        assert status == expected, f"$ {command}\n{printed}"
        if runs_on:
            self._stack.close()
            self._open()

    def _open(self):
        self._terminal = self._stack.enter_context(Terminal(*self._place))


@pytest.mark.parametrize("page", TYPED)
def test_a_page_does_what_it_shows(page, folder, variables, here):
    run_code(page, folder, variables, here)
    # As the file of settings on the page eisen-client does.
    settings = {"EISEN_URL": here("http://localhost:8080/predictions/seg")}
    with Reader(folder, {**variables, **settings}) as reader:
        for block in runs(page):
            for name in OUTPUTS:
                (folder / name).unlink(missing_ok=True)
            for command, output in rules.commands_to_run(block):
                reader.follow(here(command), here(output))
