"""``eisen-serve config``: what ``run`` would run, for those who start servers themselves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from eisen_deploy.serving.engines import preflight
from eisen_deploy.serving.engines.machine import measure_machine
from eisen_deploy.serving.engines.ray import serve_config
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.engines.torchserve import script as start_script
from eisen_deploy.serving.engines.torchserve.engine import CONFIG, LOGGING
from eisen_deploy.serving.engines.torchserve.settings import logging_config
from eisen_deploy.serving.engines.torchserve.settings.configuration import (
    Configuration,
    configure,
)
from eisen_deploy.serving.engines.uvicorn import script
from eisen_deploy.serving.runtime._shared.command import program
from eisen_deploy.serving.runtime._shared.command.terminal import say

from .arguments import ENGINES, add_arguments, find_whole_path, make_options
from .run import prepare

_EXAMPLE = """\
examples:
  eisen-serve config model_zoo/seg.mar > config.properties
  eisen-serve config model_zoo/seg.mar --max-body 1GB -o server && sh server/torchserve.sh
  eisen-serve config --engine ray seg.mar classify.mar > serve.yaml && serve deploy serve.yaml
"""

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
        help=f"write {CONFIG}, {LOGGING} and {start_script.NAME}, which starts TorchServe, to this "
        f"folder; or {script.NAME}, or {SERVE_CONFIG}",
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
    return _give_torchserve(configure(options, measure_machine(gpus)), found, arguments)


def _give_torchserve(
    configuration: Configuration, found: Sequence[ServedArchive], arguments: argparse.Namespace
) -> int:
    """Print the configuration of TorchServe and how it is started, or write both."""
    output: Path | None = arguments.output
    folder = find_whole_path(output or Path.cwd())
    store = start_script.lay_out_model_store(found, folder)
    files = ["--ts-config", str(folder / CONFIG)]
    files += [] if output is None else ["--log-config", str(folder / LOGGING)]
    start = start_script.render_script(configuration, store, folder, files, arguments.python)
    if output is None:
        say(configuration.render() + "\n" + _comment_out(start))
        return 0
    start_script.make_folders(folder, store)
    logging = logging_config.render(configuration.log_levels)
    texts = {CONFIG: configuration.render(), LOGGING: logging, start_script.NAME: start}
    for name, text in texts.items():
        (output / name).write_text(text, "utf-8")
    say("\n".join(str(output / name) for name in texts))
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


def _comment_out(script: str) -> str:
    """Return a script as comments of a file of properties, without its first line."""
    lines = script.split("\n")[1:-1]
    return "\n".join(f"# {line}".rstrip() for line in lines)
