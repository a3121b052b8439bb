"""``config.properties`` as the launcher reads it.

TorchServe's Java part reads the file as Java does (``java_properties``). The launcher
``torchserve``, a Python program, reads it with a few lines of its own
(``ts.model_server.load_properties``), for ``vmargs``, ``plugins_path`` and ``model_store``. The two
agree on simple lines only.
"""

from __future__ import annotations

import re

_LINE_END = re.compile(r"\r\n|\r|\n")


def parse_as_launcher(raw: bytes) -> dict[str, str]:
    """Read a file as the launcher does: a line, an equals sign, no continuation, no escapes."""
    values = {}
    for line in _LINE_END.split(raw.decode("utf-8", "replace")):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = value.strip()
    return values
