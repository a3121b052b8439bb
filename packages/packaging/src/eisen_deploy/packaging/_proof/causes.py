"""What is said of an archive that failed in a clean process: the cause, and what helps."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eisen_deploy.packaging._capture import installed, locate
from eisen_deploy.packaging._pickles.script_globals import SCRIPT

from . import left_behind

_LINES = 12
_HINTS = 5
_OWN_CODE = ("", SCRIPT, "dill", "_eisen_serving", "importlib", "pickle", "torch", "numpy")
_UNSEEN = (
    "it relies on something of the process or the machine that packed it, such as a global of the "
    "script, the time zone, or a library that was changed or set up"
)
_VARIES = (
    "it depends on what is different in each process, since a second clean one gives others again: "
    "the order of a set, random numbers drawn while it is loaded, the process's number, the time"
)


def of_error(outcome: Mapping[str, Any]) -> str:
    """Say why an archive did not load or predict: cause and remedy first, then the details.

    :param outcome: what the clean process told; ``varies`` says whether a second one told
        something else.
    """
    error = outcome["error"]
    first, _, table = error["text"].partition("\n")
    part = outcome["part"] if error["type"] != "SelfTestFailed" else ""
    hints = list(dict.fromkeys([*_of_chain(outcome), *_of_text(outcome)]))
    if error["differences"]:
        found = list(dict.fromkeys(_of_differences(outcome)))[:_HINTS]
        hints.append(f"likely because {' or '.join(found or [_UNSEEN])}")
    kind = "" if error["type"] in ("LoadFailed", "SelfTestFailed") else error["type"]
    what = ": ".join(filter(None, ["the archive fails in a clean process", part, kind, first]))
    details = table if error["differences"] or hints else error["traceback"]
    return "\n".join(filter(None, ["; ".join([what, *hints]), details]))


def of_death(status: int, output: str) -> str:
    """Say how the process ended before it could tell anything."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        what = f"the clean process was killed by {name}"
    else:
        what = f"code of the archive ended the clean process with status {status}"
    return f"{what}, before it was done{_last_lines(output)}"


def of_silence(timeout: float, output: str) -> str:
    """Say that the process did not come to an end."""
    return f"the clean process did not end in {timeout:.0f} s{_last_lines(output)}"


def of_flood(limit: int, output: str) -> str:
    """Say that the process printed too much."""
    return f"the clean process printed more than {limit >> 20} MiB{_last_lines(output)}"


def _last_lines(output: str) -> str:
    # Where Python itself tells of a crash, the beginning of that says most.
    crash = output.rfind("Fatal Python error")
    lines = output[crash:].splitlines()[:_LINES] if crash >= 0 else output.splitlines()[-_LINES:]
    return "\n".join([": its last lines are", *lines]) if lines else ""


def _of_chain(outcome: Mapping[str, Any]) -> Iterator[str]:
    """Say what helps against an error, by what it and its causes are."""
    for link in outcome["error"]["chain"]:
        if link["type"] == "PackageNotFoundError":
            yield _of_metadata(link["module"])
        elif link["module"]:
            yield _of_module(link["module"], outcome["missing"])
        if link["key"] and link["key"] in os.environ:
            yield left_behind.of_variable(link["key"])
        if link["file"]:
            yield from _of_file(link["file"])


def _of_text(outcome: Mapping[str, Any]) -> Iterator[str]:
    """Name modules that an error tells of in words of its own, as ``skimage is required``."""
    words = outcome["error"]["text"].casefold()
    for module in outcome["missing"]:
        if re.search(rf"\b{re.escape(module.casefold())}\b", words) and _is_installed(module):
            yield _of_module(module, outcome["missing"])


def _is_installed(module: str) -> bool:
    spec = locate.spec_of(module)
    return bool(spec and installed.owner_of(module, spec.origin))


def _of_differences(outcome: Mapping[str, Any]) -> Iterator[str]:
    """Say what may make outputs differ: what was looked for in vain, and what is left here."""
    if outcome["varies"]:
        yield _VARIES
        return
    for module, importer in outcome["missing"].items():
        if left_behind.is_users(importer) and _is_here(module):
            yield _of_module(module, outcome["missing"])
    for file in outcome["hidden"]:
        yield from _of_file(file)
    yield from left_behind.in_environment(outcome["variables"])
    yield from left_behind.in_modules(outcome["states"])
    yield from left_behind.in_libraries()
    yield from left_behind.in_torch()


def _of_file(file: str) -> Iterator[str]:
    if file.startswith("<archive>"):
        yield (
            f"it opens {file}, which is not in the archive: data beside a module does not travel "
            "by itself, pass it in code_paths="
        )
    elif Path(file).exists():
        yield (
            f"it opens {file}, which is on this machine and not in the archive: keep what is in it "
            "in the model or the transform"
        )


def _is_here(module: str) -> bool:
    return module.partition(".")[0] in sys.modules


def _of_metadata(distribution: str) -> str:
    if not installed.is_installed(distribution):
        return f"it reads the version of {distribution}, which is not installed here either"
    return (
        f"it reads the version of {distribution}, which is not among the archive's requirements: "
        f"{_remedy(distribution)}"
    )


def _remedy(distribution: str) -> str:
    return f"pass requirements=['{distribution}=={installed.version_of(distribution)}']"


def _of_module(module: str, missing: Mapping[str, str]) -> str:
    importer = missing.get(module, "")
    what = f"{'it' if importer.partition('.')[0] in _OWN_CODE else importer} imports {module}"
    spec = locate.spec_of(module)
    owner = installed.owner_of(module, spec.origin) if spec else None
    if owner:
        return (
            f"{what}, which is installed here ({owner} {installed.version_of(owner)}) but is not "
            f"among the archive's requirements: {_remedy(owner)}"
        )
    if spec or getattr(sys.modules.get(module), "__file__", None):
        return f"{what}, a file of this machine that was not captured: pass it in code_paths="
    if module in sys.modules:
        return f"{what}, which was made by the running program and has no file"
    return f"{what}, which is not installed here either"
