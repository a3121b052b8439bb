"""``eisen-serve config``: what ``run`` would run, for those who start servers themselves."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from eisen_deploy.serving.engines import preflight
from eisen_deploy.serving.engines.machine import measure_machine
from eisen_deploy.serving.engines.ray import serve_config
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.engines.torchserve.engine import CONFIG, LOGGING
from eisen_deploy.serving.engines.torchserve.launcher import find_program
from eisen_deploy.serving.engines.torchserve.settings import logging_config
from eisen_deploy.serving.engines.torchserve.settings.configuration import (
    Configuration,
    configure,
    render_variables,
)
from eisen_deploy.serving.engines.torchserve.settings.java import find_java
from eisen_deploy.serving.engines.uvicorn import script
from eisen_deploy.serving.runtime._shared.archive.names import identifier_problem
from eisen_deploy.serving.runtime._shared.command import program
from eisen_deploy.serving.runtime._shared.command.terminal import say

from .arguments import ENGINES, add_arguments, make_options
from .run import prepare

_EXAMPLE = """\
examples:
  eisen-serve config model_zoo/seg.mar > config.properties
  eisen-serve config model_zoo/seg.mar --max-body 1GB -o server && sh server/torchserve.sh
  eisen-serve config --engine ray seg.mar classify.mar > serve.yaml && serve deploy serve.yaml
"""

SCRIPT = "torchserve.sh"
SERVE_CONFIG = "serve.yaml"


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "config",
        help="print the configuration that run would use",
        description="Print the config.properties that run would write, with a reason for each "
        "line, and behind it the environment and the command line, as comments. -o writes them to "
        "files. For uvicorn, which has no such file, print the command line with every option; for "
        "Ray, a Serve config for serve deploy, serve run and KubeRay.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        help=f"write {CONFIG}, {LOGGING} and {SCRIPT}, which starts TorchServe, to this folder; or "
        f"{script.NAME}, or {SERVE_CONFIG}",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print or write the configuration."""
    preflight.check_system()
    engine = ENGINES[arguments.engine]()
    options = make_options(arguments)
    found, gpus = prepare(arguments, engine, options, partial(say, stream=sys.stderr))
    if arguments.engine == "uvicorn":
        text = script.render_script(
            found[0], options, gpus, arguments.python, insecure=arguments.insecure
        )
        return _give(text, arguments.output, script.NAME)
    if arguments.engine == "ray":
        text = serve_config.render(found, options, gpus)
        return _give(text, arguments.output, SERVE_CONFIG)
    configuration = configure(options, measure_machine(gpus))
    output: Path | None = arguments.output
    folder = (output or Path.cwd()).absolute()
    with_logging = output is not None
    start = _render_script(
        configuration, found, folder, arguments.python, with_logging=with_logging
    )
    if output is None:
        say(configuration.render() + "\n" + _comment_out(start))
        return 0
    output.mkdir(parents=True, exist_ok=True)
    (output / CONFIG).write_text(configuration.render(), "ascii")
    (output / LOGGING).write_text(logging_config.render(configuration.log_levels), "ascii")
    (output / SCRIPT).write_text(start, "utf-8")
    say(f"{output / CONFIG}\n{output / LOGGING}\n{output / SCRIPT}")
    return 0


def _give(text: str, output: Path | None, name: str) -> int:
    """Print what an engine has in one file, or write it and say where."""
    if output is None:
        say(text.rstrip())
        return 0
    output.mkdir(parents=True, exist_ok=True)
    (output / name).write_text(text, "utf-8")
    say(str(output / name))
    return 0


def _render_script(
    configuration: Configuration,
    found: Sequence[ServedArchive],
    folder: Path,
    python: str,
    *,
    with_logging: bool,
) -> str:
    """Return the shell script that starts TorchServe so."""
    store, names, links = _lay_out_model_store(found, folder)
    files = ["--ts-config", str(folder / CONFIG)]
    if with_logging:
        files += ["--log-config", str(folder / LOGGING)]
    program = str(find_program(python).absolute())
    start = [program, "--start", "--ncs", *files, "--model-store", store, "--models", *names]
    return "\n".join(
        [
            "#!/bin/sh",
            "# Starts TorchServe; the same with --stop in place of --start ends it.",
            "set -e",
            shlex.join(["mkdir", "-p", str(folder / "tmp")]),
            shlex.join(["cd", str(folder)]) + "  # key_file.json and logs go here",
            *links,
            "# for the pid file, the unpacked archives, the workers' sockets: shared with nobody",
            shlex.join(["export", f"TMPDIR={folder / 'tmp'}", f"TEMP={folder / 'tmp'}"]),
            _export_java(python),
            render_variables(configuration.of_kind("environment")).rstrip(),
            f"exec {shlex.join(start)}",
            "",
        ]
    )


def _lay_out_model_store(
    found: Sequence[ServedArchive], folder: Path
) -> tuple[str, list[str], list[str]]:
    """Return a model store, the archives' names in it, and the commands that make it."""
    folders = {archive.path.absolute().parent for archive in found}
    if len(folders) == 1 and all(_is_plain(archive.path.name) for archive in found):
        return str(folders.pop()), [archive.path.name for archive in found], []
    store = folder / "model_store"
    links = [shlex.join(["mkdir", "-p", str(store)])]
    for archive in found:
        link = ["ln", "-sf", str(archive.path.absolute()), str(store / archive.store_name)]
        links.append(shlex.join(link))
    return str(store), [archive.store_name for archive in found], links


def _is_plain(name: str) -> bool:
    """Whether TorchServe takes it for a file: not ``all``, ``name=file``, or two with a comma."""
    return name.endswith(".mar") and identifier_problem("name", name) is None


def _export_java(python: str) -> str:
    """Return the line that makes TorchServe start the Java that is new enough."""
    home = find_java(python).home
    return "unset JAVA_HOME" if home is None else f"export JAVA_HOME={shlex.quote(home)}"


def _comment_out(script: str) -> str:
    """Return a script as comments of a file of properties, without its first line."""
    lines = script.split("\n")[1:-1]
    return "\n".join(f"# {line}".rstrip() for line in lines)
