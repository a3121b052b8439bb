"""``eisen-serve doctor``: what is wrong with a configuration, or with a running server.

======  =========================================================================
status  meaning
======  =========================================================================
0       nothing was found
1       errors or warnings
2       it could not be examined, or the arguments are wrong
======  =========================================================================
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from eisen_deploy.serving.doctor import (
    Report,
    examine_configuration,
    examine_script,
    examine_server,
)
from eisen_deploy.serving.engines.keys import Keys, read_keys
from eisen_deploy.serving.engines.torchserve import script as start_script
from eisen_deploy.serving.engines.torchserve.engine import CONFIG, LOGGING
from eisen_deploy.serving.engines.torchserve.script import Start
from eisen_deploy.serving.engines.torchserve.settings.environment import read_interpreter
from eisen_deploy.serving.engines.torchserve.settings.java import JavaNotFound, find_java
from eisen_deploy.serving.engines.uvicorn import script
from eisen_deploy.serving.engines.uvicorn.work import WORKERS_LOG
from eisen_deploy.serving.runtime._shared.command import program
from eisen_deploy.serving.runtime._shared.command.terminal import align_columns, say
from eisen_deploy.serving.runtime._shared.printable import clean

from .arguments import add_arguments, make_options
from .endpoints import SAMPLES

# What a folder of eisen-serve run has, and one in which TorchServe is started by hand has not.
_OF_RUN = (CONFIG, LOGGING, SAMPLES)
_EXAMPLE = """\
examples:
  eisen-serve doctor config.properties --model-store model_zoo
  eisen-serve doctor /srv/torchserve
  eisen-serve doctor /srv/uvicorn/uvicorn.sh
  eisen-serve doctor http://localhost:8080 --token-file key_file.json
  eisen-serve doctor --json https://gpu7:8443 --management https://gpu7:8444
"""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "doctor",
        help="find what is wrong with a configuration or a running server",
        description="Examine a configuration of TorchServe or a script that starts uvicorn, and "
        "what surrounds it, or ask a running server. Nothing is changed. Exits with 1 for errors "
        "and warnings, with 2 if it could not examine.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "target",
        metavar="TARGET",
        help="a file as given by --ts-config, a folder in which torchserve is started without that "
        f"option, a folder of eisen-serve config or run, a {start_script.NAME} or {script.NAME}, "
        "or the URL of a server's inference",
    )
    add("--json", action="store_true", help="print one JSON object instead of text")
    add("--models", metavar="M", nargs="+", default=[], help="as given to torchserve; by name")
    one = parser.add_argument_group("a configuration")
    add = one.add_argument
    add("--model-store", metavar="FOLDER", type=Path, help="as given to torchserve")
    add("--python", metavar="PYTHON", help="the server's; default: that of torchserve in PATH")
    add("--no-digests", action="store_true", help="do not read the archives as a whole")
    two = parser.add_argument_group("a running server")
    add = two.add_argument
    add("--management", metavar="URL", help="default: the port behind that of TARGET")
    add("--metrics", metavar="URL", help="default: the second port behind that of TARGET")
    add("--token-file", metavar="FILE", type=Path, help="key_file.json, or a token")
    add(
        "--authorities", metavar="PEM", type=Path, help="certificates to trust besides the system's"
    )
    add("--timeout", metavar="S", type=float, default=5.0, help="for each answer; default: 5")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Examine, print all of it at once, and return the exit status."""
    if "://" in arguments.target:
        report = _examine_server(arguments)
    elif (found := _find_script(Path(arguments.target))) is not None:
        report = _examine_script(*found)
    elif (start := _find_start(Path(arguments.target))) is not None:
        report = _examine_start(start, arguments)
    elif all((Path(arguments.target) / name).exists() for name in _OF_RUN):
        report = _examine_folder_of_run(Path(arguments.target), arguments)
    elif (Path(arguments.target) / WORKERS_LOG).exists():
        what = (
            f"it is the folder of a uvicorn: examine its URL, or the {script.NAME} that starts it"
        )
        report = Report(arguments.target, unexamined=[what], examined=False)
    else:
        report = _examine_configuration(Path(arguments.target), arguments)
    say(_as_json(report) if arguments.json else "\n".join(_list_lines(report)))
    return report.status


def _examine_configuration(
    target: Path, arguments: argparse.Namespace, environment: Mapping[str, str] | None = None
) -> Report:
    return examine_configuration(
        target,
        environment=environment,
        model_store=arguments.model_store,
        models=tuple(arguments.models),
        python=arguments.python,
        digests=not arguments.no_digests,
    )


def _find_start(target: Path) -> Start | None:
    """Return how TorchServe is started by a script: the target, or one in it or beside it."""
    path = target / start_script.NAME if target.is_dir() else target
    if path.name == CONFIG:
        path = path.with_name(start_script.NAME)
    try:
        start = start_script.read_script(path.read_text("utf-8", "replace"))
    except (OSError, ValueError):
        return None
    is_other = start is not None and target.name == CONFIG and not _is_same(start.config, target)
    return None if is_other else start


def _is_same(one: Path, two: Path) -> bool:
    return one.resolve() == two.resolve()


def _examine_start(start: Start, arguments: argparse.Namespace) -> Report:
    """Examine what a script starts TorchServe with, unless an argument says something else."""
    arguments.model_store = arguments.model_store or start.store.folder
    arguments.models = arguments.models or start.store.models
    with contextlib.suppress(OSError):  # it is not there: then the one of the path is looked for
        arguments.python = arguments.python or read_interpreter(str(start.program))
    return _examine_configuration(start.config, arguments, start.apply_variables(os.environ))


def _examine_folder_of_run(folder: Path, arguments: argparse.Namespace) -> Report:
    """Examine the configuration with which ``eisen-serve run`` starts TorchServe in a folder."""
    arguments.python = arguments.python or sys.executable
    environment = {**os.environ, "TEMP": tempfile.gettempdir()}
    with contextlib.suppress(JavaNotFound):  # which the examination finds as well
        environment["JAVA_HOME"] = find_java(arguments.python).home or ""
    return _examine_configuration(folder / CONFIG, arguments, environment)


def _find_script(target: Path) -> tuple[Path, list[str]] | None:
    """Return a script that starts uvicorn, and its arguments; ``None`` if the target is none."""
    path = target / script.NAME if target.is_dir() else target
    try:
        arguments = script.read_script(path.read_text("utf-8", "replace"))
    except (OSError, ValueError):
        return None
    return None if arguments is None else (path, arguments)


def _examine_script(path: Path, given: list[str]) -> Report:
    parser = argparse.ArgumentParser(prog=str(path), add_help=False)
    add_arguments(parser)
    arguments = parser.parse_args(given)
    return examine_script(path, make_options(arguments), arguments.archives, arguments.python)


def _examine_server(arguments: argparse.Namespace) -> Report:
    keys = Keys() if arguments.token_file is None else read_keys(arguments.token_file)
    try:
        return examine_server(
            arguments.target,
            management=arguments.management,
            metrics=arguments.metrics,
            keys=keys,
            models=arguments.models,
            authorities=arguments.authorities,
            timeout=arguments.timeout,
        )
    except ValueError as error:
        return Report(arguments.target, unexamined=[str(error)], examined=False)


def _as_json(report: Report) -> str:
    shown = {
        "target": report.target,
        "status": report.status,
        "facts": [{"name": name, "value": value} for name, value in report.facts],
        "findings": [asdict(finding) for finding in report.findings],
        "unexamined": report.unexamined,
    }
    return json.dumps(shown, indent=1, ensure_ascii=False)


def _list_lines(report: Report) -> Iterator[str]:
    yield from align_columns(report.facts)
    for finding in report.findings:
        yield ""
        yield clean(f"{finding.severity}: {finding.found} [{finding.name}]")
        yield from align_columns([("  then", finding.effect), ("  remedy", finding.remedy)])
    if report.unexamined:
        yield ""
        yield from align_columns([("not examined", what) for what in report.unexamined])
    yield ""
    yield _summarize(report)


def _summarize(report: Report) -> str:
    if not report.examined:
        return f"{clean(report.target)} could not be examined"
    counts = Counter(finding.severity for finding in report.findings)
    texts = [f"{counts[name]} {name}{'s' * (counts[name] > 1)}" for name in counts]
    return ", ".join(texts) or "nothing found"
