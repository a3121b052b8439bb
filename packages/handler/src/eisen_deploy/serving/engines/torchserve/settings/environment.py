"""What TorchServe needs of a Python environment, and which one is its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

#: What the server imports, and what to install for it.
REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "yaml": "PyYAML",
    "ts.model_service_worker": "torchserve",  # it imports all that a worker does
}


def find_python(variables: Mapping[str, str]) -> str | None:
    """Return the interpreter beside the ``torchserve`` of the path, as its own first line says."""
    program = shutil.which("torchserve", path=variables.get("PATH"))
    if program is None:
        return None
    return read_interpreter(program)


def read_interpreter(program: str) -> str | None:
    """Return the interpreter that the first line of a program names.

    :raises OSError: if it cannot be read.
    """
    with open(program, "rb") as script:  # noqa: PTH123
        first = script.readline().decode("utf-8", "replace")
    match = re.match(r"#!\s*(/\S+)", first)
    return match[1] if match else None
