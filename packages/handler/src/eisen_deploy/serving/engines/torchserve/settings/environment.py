"""What TorchServe needs of a Python environment, and which one is its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

#: Bytes that the first lines of a program may have: the longest path, and the words around it.
_MAX_LINE = 8192
#: What the server imports, and what to install for it.
REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "yaml": "PyYAML",
    "ts.model_service_worker": "torchserve",
}


def find_python(variables: Mapping[str, str]) -> str | None:
    """Return the interpreter beside the ``torchserve`` of the path, as its own first line says."""
    program = shutil.which("torchserve", path=variables.get("PATH"))
    if program is None:
        return None
    return read_interpreter(program, variables.get("PATH"))


def read_interpreter(program: str, path: str | None = None) -> str | None:
    """Return the interpreter that the first lines of a program name.

    A kernel does not read a first line that is long or has a space in its path. There pip writes a
    program for the shell, which is Python as well: ``'''exec' "/PATH/python" "$0" "$@"``.

    :param path: where ``/usr/bin/env`` looks for one; by default, this process's ``PATH``.
    :raises OSError: if it cannot be read.
    """
    with open(program, "rb") as script:  # noqa: PTH123
        first, second = (script.readline(_MAX_LINE).decode("utf-8", "replace") for _ in "12")
    match = re.match(r"#!\s*(/\S+)(?:[ \t]+(\S+))?", first)
    launched = re.match(r"""'''exec' (["']?)(/.+?)\1 "\$0" """, second)
    if match and match[1] == "/bin/sh" and launched:
        return launched[2]
    if match and match[2] and match[1].endswith("/env"):
        return shutil.which(match[2], path=path)
    return match[1] if match else None
