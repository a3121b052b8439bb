"""What is done with the code blocks of the documentation.

Each is run as it is printed, by ``e2e/test_documented_blocks.py``, unless it is output or a file's
content, or one of the tables here says why not. ``contract/test_documented_blocks.py`` finds what
neither applies to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from documented_pages import PAGES, Block, read_blocks

#: Languages of output, and of what is shown but is no program.
OUTPUT = {"text", "http"}
#: Languages of files, which are parsed.
FILES = {"json", "yaml", "ini", "properties"}
#: Languages that are run.
RUN = {"console", "python", "pycon"}

#: Pages whose blocks another test runs as they are printed.
PAGES_RUN_BY = {
    "eisen-core": "tests/e2e/test_eisen_core.py",
    "monai": "tests/e2e/test_monai.py",
    "torchio": "tests/e2e/test_torchio.py",
    "tutorial": "tests/e2e/test_tutorial.py",
}

#: Commands that are checked, and not run: ``contract/test_documented_blocks.py`` looks whether what
#: they name is there.
CHECKED = ("pip *", "python3.11 -m pip *", "nox *", "*python3 tools/dev.py*", "python tools/*")

#: Commands that are not run, by a pattern: by which test something like it is, or why it cannot be.
NOT_RUN = {
    "docker *": "tests/e2e/test_image.py",
    "kubectl *": "there is no cluster",
    "sudo *": "it needs root, and systemd",
    "git *": "there is no remote repository",
    "cd eisen-deploy": "there is no remote repository",
    "eisen-pack import monai-bundle *": "tests/e2e/test_monai.py",
    "eisen-pack import nnunet *": "tests/e2e/test_nnunet.py",
    "eisen-pack inspect --requirements model_zoo/spleen.mar*": "tests/e2e/test_nnunet.py",
    "eisen-client predict http://server:8080/predictions/spleen *": "tests/e2e/test_nnunet.py",
    "torchserve --*": "tests/e2e/test_documented_commands.py",
    'curl "http://localhost:8081/token*': "it needs the keys of a server: tests/e2e/test_access.py",
    "export JAVA_HOME=*": "tests/serving/cli/test_java.py",
    "EISEN_ARCHIVE=seg.mar uvicorn *": "tests/e2e/test_any_asgi_server.py",
    "ray start *": "tests/e2e/test_ray_cluster.py",
    "export RAY_SERVE_*": "tests/e2e/test_ray_cluster.py",
    "serve deploy *": "tests/e2e/test_ray_cluster.py",
    "serve run *": "tests/e2e/test_ray.py",
    "sh server/torchserve.sh": "tests/e2e/test_eisen_serve.py",
    # What the page eisen-serve shows with other archives or options.
    "eisen-serve run model_zoo/model.mar*": "tests/e2e/test_eisen_serve.py",
    "eisen-serve run model_zoo/seg.mar": "tests/e2e/test_eisen_serve.py",
    "eisen-serve run model_zoo/seg.mar --engine *": "tests/e2e/test_eisen_serve_uvicorn.py",
}

#: Blocks that are not run, by their page and their first line: by which test they are, or why.
BLOCKS = {
    ("other-languages", "const headers ="): "tests/e2e/test_foreign_clients.py",
    (
        "other-languages",
        "import numpy as np\nimport tritonclient",
    ): "tests/e2e/test_foreign_clients.py",
    ("other-languages", "request.Content ="): "a line of a program in C#, which needs .NET",
    ("hospital-it", "setx "): "it needs Windows",
    ("hospital-it", "icacls "): "it needs Windows",
    ("hospital-it", "py "): "it needs Windows",
    ("packages/handler/README.md", "from pathlib import Path"): "as on the page server",
}


def without_comment(command: str) -> str:
    """Return a command without what explains it."""
    return re.sub(r"\s+#.*", "", command)


def is_checked(command: str) -> bool:
    """Whether a command is looked at, and not run."""
    return any(fnmatchcase(without_comment(command), pattern) for pattern in CHECKED)


def find_reason(command: str) -> str | None:
    """Return the pattern of ``NOT_RUN`` that applies to a command."""
    found = (each for each in NOT_RUN if fnmatchcase(without_comment(command), each))
    return next(found, None)


def find_exception(page: str, block: Block) -> tuple[str, str] | None:
    """Return the key of ``BLOCKS`` that applies to a block."""
    keys = (key for key in BLOCKS if key[0] == page and block.text.startswith(key[1]))
    return next(keys, None)


def read_all_blocks() -> Iterator[tuple[str, Block]]:
    """Yield each block of each page that no other test runs."""
    for page in PAGES:
        if page not in PAGES_RUN_BY:
            yield from ((page, block) for block in read_blocks(page))


def commands_to_run(block: Block) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console that are run, with the output that the page shows."""
    for step in block.steps if block.language == "console" else ():
        if not is_checked(step.command) and find_reason(step.command) is None:
            yield step.command, step.output
