"""Why an archive failed in a clean process, in words: the cause, and what helps."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eisen_deploy.packaging._capture import installed, module_search
from eisen_deploy.packaging._pickles.script_globals import SCRIPT

from . import process_state

if TYPE_CHECKING:
    from .exchange import Failure, Outcome

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


def explain_error(error: Failure, outcome: Outcome, *, varies: bool) -> str:
    """Say why an archive did not load or predict: cause and remedy first, then the details.

    :param error: that of the outcome.
    :param varies: whether a second clean process gave another outcome.
    """
    first, _, table = error["text"].partition("\n")
    is_self_test = error["type"] == "SelfTestFailed"
    part = "" if is_self_test else outcome["part"]
    is_explained = is_self_test or error["type"] in ("LoadFailed", "NotVerified")
    kind = "" if is_explained else error["type"]
    hints = [*_explain_chain(error, outcome["missing"]), *_explain_text(error, outcome["missing"])]
    if error["differences"]:
        found = [_VARIES] if varies else list(dict.fromkeys(_explain_differences(outcome)))[:_HINTS]
        hints.append(f"likely because {' or '.join(found or [_UNSEEN])}")
    what = ": ".join(filter(None, ["the archive fails in a clean process", part, kind, first]))
    details = table if error["differences"] or hints else error["traceback"]
    return "\n".join(filter(None, ["; ".join(dict.fromkeys([what, *hints])), details]))


def explain_death(status: int) -> str:
    """Say how the process ended before it had an outcome."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        what = f"the clean process was killed by {name}"
    else:
        what = f"code of the archive ended the clean process with status {status}"
    return f"{what}, before it was done"


def quote_last_lines(output: str) -> str:
    """Return the end of what the process printed, to be put behind a sentence."""
    # Where Python itself reports a crash, the beginning of that says most.
    crash = output.rfind("Fatal Python error")
    lines = output[crash:].splitlines()[:_LINES] if crash >= 0 else output.splitlines()[-_LINES:]
    return "\n".join([": its last lines are", *lines]) if lines else ""


def _explain_chain(error: Failure, missing: Mapping[str, str]) -> Iterator[str]:
    """Say what helps against an error, by what it and its causes are."""
    for link in error["chain"]:
        if link["module"] and link["type"] == "PackageNotFoundError":
            yield _explain_metadata(link["module"])
        elif link["module"]:
            yield _explain_module(link["module"], missing)
        if link["key"] and link["key"] in os.environ:
            yield process_state.explain_variable(link["key"])
        if link["file"]:
            yield from _explain_file(link["file"])


def _explain_text(error: Failure, missing: Mapping[str, str]) -> Iterator[str]:
    """Explain modules that an error names in words of its own, as ``skimage is required``."""
    words = error["text"].casefold()
    for module in missing:
        if re.search(rf"\b{re.escape(module.casefold())}\b", words) and _find_owner(module):
            yield _explain_module(module, missing)


def _find_owner(module: str) -> str | None:
    spec = module_search.find_spec(module)
    return installed.find_owner(module, spec.origin) if spec else None


def _explain_differences(outcome: Outcome) -> Iterator[str]:
    """Say what may make outputs differ: what was looked for in vain, and what is left here."""
    for module, importer in outcome["missing"].items():
        if process_state.is_user_code(importer) and module.partition(".")[0] in sys.modules:
            yield _explain_module(module, outcome["missing"])
    for file in outcome["hidden"]:
        yield from _explain_file(file)
    yield from process_state.find_used_variables(outcome["variables"])
    yield from process_state.find_changed_modules(outcome["states"])
    yield from process_state.find_replaced_functions()
    yield from process_state.find_changed_settings()


def _explain_file(file: str) -> Iterator[str]:
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


def _explain_metadata(distribution: str) -> str:
    if not installed.is_installed(distribution):
        return f"it reads the version of {distribution}, which is not installed here either"
    return (
        f"it reads the version of {distribution}, which is not among the archive's requirements: "
        f"{_suggest_requirement(distribution)}"
    )


def _suggest_requirement(distribution: str) -> str:
    return f"pass requirements=['{distribution}=={installed.get_version(distribution)}']"


def _explain_module(module: str, missing: Mapping[str, str]) -> str:
    importer = missing.get(module, "")
    what = f"{'it' if importer.partition('.')[0] in _OWN_CODE else importer} imports {module}"
    if owner := _find_owner(module):
        return (
            f"{what}, which is installed here ({owner} {installed.get_version(owner)}) but is not "
            f"among the archive's requirements: {_suggest_requirement(owner)}"
        )
    if module_search.find_spec(module) or getattr(sys.modules.get(module), "__file__", None):
        return f"{what}, a file of this machine that was not captured: pass it in code_paths="
    if module in sys.modules:
        return f"{what}, which was made by the running program and has no file"
    return f"{what}, which is not installed here either"
