"""The texts of errors that user code raises: withheld, or shown where someone develops a model.

Such a text may hold anything, a patient's data included. So a reply and the log name the error's
class only, and the log says where it was raised. Whoever develops sets the environment variable
:data:`SHOW` to ``1`` for the process that runs the model; then both have the text as well. No
archive can ask for that: it would take it to where patients are.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path

#: The variable; any value but ``1`` is as if it were not set.
SHOW = "EISEN_SHOW_ERRORS"

_MOST = 4000  # characters of a text


def are_shown() -> bool:
    """Whether the texts are shown by this process."""
    return os.environ.get(SHOW) == "1"


def describe(stage: str, error: BaseException, data: object = None) -> str:
    """Return a sentence with the text of an error, and where user code raised it.

    :param data: what the stage was given: where a key is missing, the keys are named.
    """
    text = f"{stage} raised {type(error).__name__}: {_read_text(error)}{_find_line(error)}"
    if isinstance(error, KeyError) and isinstance(data, Mapping):
        text += f"; it was given the keys {', '.join(map(str, data))}"
    return text


def _read_text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as raised:  # noqa: BLE001 - it is user code as well
        return f"its text cannot be read, for it raises {type(raised).__name__}"
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def _find_line(error: BaseException) -> str:
    """Return where user code raised an error, or called the library that did.

    What travels in a pickle has its file's name only: that is on the machine that packed it.
    """
    others = {Path(__file__).parents[1], Path(os.__file__).parent}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        is_installed = "site-packages" in path.parts or not others.isdisjoint(path.parents)
        if path.suffix == ".py" and not is_installed:
            return f" ({path.name}, line {frame.lineno})"
    return ""
