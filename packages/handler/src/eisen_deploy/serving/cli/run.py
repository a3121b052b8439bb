"""``eisen-serve run``: serve archives until someone ends it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from eisen_deploy.serving.engines import preflight
from eisen_deploy.serving.engines.engine import Engine, Patience, Service, Setup
from eisen_deploy.serving.engines.environment.probes import UnfitEnvironment
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.original_files import Originals
from eisen_deploy.serving.engines.served_archives import (
    BadArchives,
    ServedArchive,
    find_archives,
    verify,
)
from eisen_deploy.serving.runtime._shared.command import program
from eisen_deploy.serving.runtime._shared.command.terminal import say
from eisen_deploy.serving.runtime._shared.printable import clean
from eisen_deploy.serving.runtime.answering import error_texts

from .arguments import ENGINES, add_arguments, find_whole_path, make_options, parse_positive
from .endpoints import Endpoints

if sys.platform != "win32":
    import fcntl

_EXAMPLE = """\
examples:
  eisen-serve run model_zoo/seg.mar
  eisen-serve run seg.mar classify.mar --host 0.0.0.0 --token-auth --max-body 1GB
  eisen-serve run seg.mar --engine uvicorn --workers 2
  eisen-serve run seg.mar classify.mar --engine ray

exit status: 1 if a model does not load or the server cannot be kept running, 2 if nothing was
started, 130 after Ctrl-C, 143 after SIGTERM; a second Ctrl-C does not wait for the server
"""


class HungUp(BaseException):
    """The process got SIGHUP: its terminal is gone."""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "run",
        help="serve archives until Ctrl-C",
        description="Verify archives, configure and start TorchServe, uvicorn or Ray, wait "
        "until every model has predicted its sample, print where it answers, and watch it. Ctrl-C "
        "or SIGTERM stops all of it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument(
        "--folder",
        metavar="DIR",
        type=Path,
        help="where configuration, keys and logs go; default: a temporary one, removed at the end",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the endpoints as one JSON object; all other lines go to the standard error",
    )
    parser.add_argument(
        "--show-errors",
        action="store_true",
        help="for development: replies and logs have the texts of errors that models and "
        "transforms raise; these may hold patients' data",
    )
    for name in ("silence", "starts"):  # of Patience; hidden: it is tests that have little
        default = getattr(Patience, name)
        parser.add_argument(
            f"--{name}", type=parse_positive, default=default, help=argparse.SUPPRESS
        )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Serve; ends by an exception only."""
    preflight.check_system()
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, _hang_up)
    engine, options = ENGINES[arguments.engine](), make_options(arguments)
    with _make_private_folder() as private:
        say_line = partial(_say_on, stream=sys.stderr if arguments.json else sys.stdout)
        found, gpus = prepare(arguments, engine, options, say_line, private / "model_store")
        folder = find_whole_path(arguments.folder or private / "server")
        _set_show_errors(arguments.show_errors, say_line)
        patience = Patience(options.startup_timeout, arguments.silence, arguments.starts)
        setup = Setup(options, found, gpus, arguments.python, folder, private, patience, say_line)
        engine.check_setup(setup)
        # Again: what was checked since took a while.
        preflight.refuse([*preflight.find_taken_ports(engine.list_ports(options))])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        service = engine.make_service(setup)
        endpoints = Endpoints(options, found, folder, service.addresses, as_json=arguments.json)
        endpoints.write_samples()
        for archive in found:
            say_line(_describe(archive, engine, options))
        _serve(engine, service, setup, endpoints)


def prepare(
    arguments: argparse.Namespace,
    engine: Engine,
    options: Options,
    say_line: Callable[[str], None],
    store: Path | None = None,
) -> tuple[list[ServedArchive], int]:
    """Check options, archives and the server's environment; return the archives and its GPUs.

    :param say_line: is called with what the archives require and the environment lacks.
    :param store: where private copies of the archives go; without it there are none, and no server
        is to be started: its ports are not tried.
    :raises Refused: with all that is wrong: first with what is known at once, such as options,
        taken ports and missing files; then with what the archives and the environment have wrong.
    """
    paths = _check_at_once(arguments, engine, options, with_ports=store is not None)
    problems: list[str] = []
    found: list[ServedArchive] = []
    with ThreadPoolExecutor(1) as pool:  # torch takes a while to import
        gpus = pool.submit(engine.check_environment, arguments.python)
        try:
            found = verify(paths, store)
        except BadArchives as error:
            problems += error.problems
        problems += preflight.find_large_samples(found, options)
        try:
            count = gpus.result()
        except UnfitEnvironment as error:
            problems += error.problems
    preflight.refuse(problems)
    if (lacking := preflight.explain_missing_requirements(found, arguments.python)) is not None:
        say_line(lacking)
    return found, count


def _check_at_once(
    arguments: argparse.Namespace, engine: Engine, options: Options, *, with_ports: bool
) -> list[Path]:
    """Check what can be checked without waiting; return the archives' paths.

    :raises Refused: with all that is wrong.
    """
    problems: list[str] = []
    paths: list[Path] = arguments.archives
    if with_ports:
        problems += preflight.find_taken_ports(engine.list_ports(options))
    try:
        paths = find_archives(paths)
    except BadArchives as error:
        problems += error.problems
    problems += engine.find_problems(options, len(paths), arguments.python)
    problems += preflight.find_problems(options, insecure=arguments.insecure)
    preflight.refuse(problems)
    return paths


@contextlib.contextmanager
def _make_private_folder() -> Iterator[Path]:
    """Make a folder that is removed at the end, and not before.

    Its name is short: the workers' sockets lie in it, and their paths may have 107 characters.
    """
    with tempfile.TemporaryDirectory(prefix="eisen-serve-", ignore_cleanup_errors=True) as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            # systemd-tmpfiles removes what is some days old, but nothing in a folder with a lock.
            with contextlib.suppress(OSError):  # the file system may have none
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(descriptor)


def _serve(engine: Engine, service: Service, setup: Setup, endpoints: Endpoints) -> NoReturn:
    """Serve until an exception ends it."""

    def write_token() -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop serving
            endpoints.write_token(service.token())

    with _stop_at_end(engine, service, endpoints, setup.say):
        service.start()
        endpoints.write_token(service.token())
        _say_on(endpoints.text(), stream=sys.stdout, raw=True)
        Originals(setup.archives, setup.say).watch()
        service.keep(write_token)
    raise AssertionError


def _set_show_errors(shown: bool, say_line: Callable[[str], None]) -> None:
    """Have the processes that are started show the texts of errors, or not, as they inherit it."""
    os.environ[error_texts.SHOW] = str(int(shown))
    if shown:
        say_line(
            "WARNING: --show-errors: replies and logs have the texts of errors that models and "
            "transforms raise. These may hold patients' data: for development only"
        )


def _describe(archive: ServedArchive, engine: Engine, options: Options) -> str:
    """Return what is said of an archive: that it is sound, and which options do not reach it."""
    sound = f"{archive.name} {archive.version}: sha-256 {archive.digest[:16]}, sound"
    parts = [sound]
    asked = archive.serving.workers
    if options.workers is not None and asked not in (None, options.workers):
        parts.append(f"workers {asked}, as the archive says, not {options.workers}")
    seconds = engine.find_response_timeout(archive, options)
    if seconds != options.response_timeout:
        parts.append(f"response timeout {seconds} s, by it, not {options.response_timeout}")
    return "; ".join(parts)


@contextlib.contextmanager
def _stop_at_end(
    engine: Engine, service: Service, endpoints: Endpoints, say_line: Callable[[str], None]
) -> Iterator[None]:
    """Stop a server at the end, whatever ends it; a signal that comes meanwhile does so at once."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: service.kill())
        say_line(f"stopping {engine.name}")
        service.stop()
        endpoints.remove_token()


def _hang_up(_number: int, _frame: FrameType | None) -> NoReturn:
    raise HungUp


def _say_on(text: str, *, stream: TextIO, raw: bool = False) -> None:
    """Write a line; a full disk or a reader that is gone must not stop serving."""
    with contextlib.suppress(OSError):
        say(text if raw else clean(text), stream)
