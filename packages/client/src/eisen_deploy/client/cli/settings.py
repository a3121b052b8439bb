"""What a workstation sets once for all calls: variables of the environment, and a file."""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path
from typing import NamedTuple

from eisen_deploy.client._http.system_trust import SYSTEM

from .exit_statuses import UsageError

#: The options that may be set.
NAMES = ("url", "token_file", "ca", "cert", "key")
_SECTION = "eisen-client"
_FILE = "EISEN_CONFIG"


class Setting(NamedTuple):
    """A value, and how messages name where it is from."""

    value: str
    source: str


def read_settings() -> dict[str, Setting]:
    """Return what is set, by the name of the option; a variable comes before the file.

    :raises UsageError: if the file cannot be read, or has something else in it.
    """
    variables = {name: f"EISEN_{name.upper()}" for name in NAMES}
    set_ones = {
        name: Setting(os.environ[variable], variable)
        for name, variable in variables.items()
        if os.environ.get(variable)
    }
    return {**_read_file(), **set_ones}


def is_path(name: str, value: str) -> bool:
    """Whether the value of an option is a path."""
    return name != "url" and (name, value) != ("ca", SYSTEM)


def find_file() -> Path:
    """Return the path of the file, which need not exist."""
    named = os.environ.get(_FILE)
    if named:
        return Path(named)
    variable = "APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".config") / "eisen-client.ini"


def _read_file() -> dict[str, Setting]:
    path = find_file()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if os.environ.get(_FILE):
            raise UsageError(f"{_FILE} {path}: there is no such file") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{path}: {reason}") from None
    try:
        parser.read_string(text)
    except configparser.Error as error:
        what = " ".join(str(error).split())
        raise UsageError(f"{path}: expected [{_SECTION}] and NAME = VALUE: {what}") from None
    values = dict(parser[_SECTION]) if parser.has_section(_SECTION) else {}
    strays = [*set(parser.sections()) - {_SECTION}, *values.keys() - set(NAMES)]
    if strays:
        known = f"expected [{_SECTION}] with {', '.join(NAMES)}"
        raise UsageError(f"{path}: {known}, got {', '.join(sorted(strays))}")
    return {
        name: Setting(_resolve(path, value) if is_path(name, value) else value, f"{name} in {path}")
        for name, value in values.items()
        if value
    }


def _resolve(file: Path, value: str) -> str:
    """Return a path; one that is relative begins at the folder of the file."""
    return str(file.parent / Path(value).expanduser())
