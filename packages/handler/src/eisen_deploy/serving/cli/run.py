"""``eisen-serve run``: serve archives until someone ends it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from eisen_deploy.serving.engines.machine import measure_machine
from eisen_deploy.serving.engines.original_files import Originals
from eisen_deploy.serving.engines.served_archives import ServedArchive, verify
from eisen_deploy.serving.engines.torchserve import preflight
from eisen_deploy.serving.engines.torchserve.calls import ServerCalls
from eisen_deploy.serving.engines.torchserve.launcher import TorchServe, find_program
from eisen_deploy.serving.engines.torchserve.settings import environment, logging_config
from eisen_deploy.serving.engines.torchserve.settings.configuration import Configuration, configure
from eisen_deploy.serving.engines.torchserve.settings.options import Options
from eisen_deploy.serving.engines.torchserve.supervision import Patience, Service
from eisen_deploy.serving.runtime._shared.command import program
from eisen_deploy.serving.runtime._shared.command.terminal import say
from eisen_deploy.serving.runtime._shared.printable import clean
from eisen_deploy.serving.runtime.archive.verification import DIGESTS
from eisen_deploy.serving.runtime.torchserve.load_report import TRACES
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_TIMEOUT

from .arguments import add_arguments, make_options, parse_positive
from .endpoints import Endpoints

if sys.platform != "win32":
    import fcntl

_EXAMPLE = """\
examples:
  eisen-serve run model_zoo/seg.mar
  eisen-serve run seg.mar classify.mar --host 0.0.0.0 --token-auth --max-body 1GB

exit status: 1 if a model does not load or TorchServe cannot be kept running, 2 if nothing was
started, 130 after Ctrl-C, 143 after SIGTERM; a second Ctrl-C does not wait for TorchServe
"""

CONFIG = "config.properties"
LOGGING = "log4j2.xml"


class HungUp(BaseException):
    """The process got SIGHUP: its terminal is gone."""


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser = commands.add_parser(
        "run",
        help="serve archives until Ctrl-C",
        description="Verify archives, configure and start TorchServe, wait until every model has "
        "predicted its sample, print where it answers, and watch it. Ctrl-C or SIGTERM stops all "
        "of it.",
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
    options = make_options(arguments)
    with _make_private_folder() as private:
        found, gpus = prepare(arguments, options, private / "model_store")
        preflight.check_ports(options)
        configuration = configure(options, measure_machine(gpus))
        folder = (arguments.folder or private / "server").absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = _make_server(arguments.python, found, configuration, folder, private)
        endpoints = Endpoints(options, found, folder, as_json=arguments.json)
        endpoints.write_samples()
        patience = Patience(options.startup_timeout, arguments.silence, arguments.starts)
        _serve(server, found, options, endpoints, patience)


def prepare(
    arguments: argparse.Namespace, options: Options, store: Path | None = None
) -> tuple[list[ServedArchive], int]:
    """Check options, archives and the server's environment; return the archives and its GPUs.

    :param store: where private copies of the archives go; without it there are none.
    :raises Refused: if the options make no sense; likewise for the archives and the environment.
    """
    preflight.check_options(options, insecure=arguments.insecure)
    find_program(arguments.python)
    with ThreadPoolExecutor(1) as pool:  # torch takes a while to import
        checked = pool.submit(environment.check, arguments.python)
        found = verify(arguments.archives, store)
        preflight.check_samples(found, options)
        return found, checked.result().gpus


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


def _make_server(
    python: str,
    found: Sequence[ServedArchive],
    configuration: Configuration,
    folder: Path,
    private: Path,
) -> TorchServe:
    """Write what the server reads, and return it; it is not started."""
    (folder / CONFIG).write_text(configuration.render(), "ascii")
    (folder / LOGGING).write_text(logging_config.render(configuration.log_levels), "ascii")
    variables = {
        **configuration.environment,
        "LOG_LOCATION": str(folder / "logs"),
        DIGESTS: " ".join(archive.digest for archive in found),
        TRACES: "1",
    }
    return TorchServe(
        folder,
        private / "model_store",
        [archive.store_name for archive in found],
        config=None,
        python=python,
        options=["--ts-config", str(folder / CONFIG), "--log-config", str(folder / LOGGING)],
        variables=variables,
        temporary=private / "tmp",
        disposable=private,
    )


def _serve(
    server: TorchServe,
    found: Sequence[ServedArchive],
    options: Options,
    endpoints: Endpoints,
    patience: Patience,
) -> NoReturn:
    """Serve until an exception ends it."""
    say_line = partial(_say_on, stream=sys.stderr if endpoints.as_json else sys.stdout)
    for archive in found:
        say_line(_describe(archive, options))
    names = (logging_config.SERVER_LOG, logging_config.MODEL_LOG)
    logs = [server.log_path, *(server.folder / "logs" / name for name in names)]
    management_url = f"http://127.0.0.1:{options.management_port}"
    calls = ServerCalls(endpoints.local_url, management_url, server.folder)
    service = Service(server, calls, found, logs, patience=patience, say=say_line)
    with _stop_at_end(server, endpoints, say_line):
        service.start()
        endpoints.write_token(server.key())
        _say_on(endpoints.text(), stream=sys.stdout, raw=True)
        Originals(found, say_line).watch()
        service.keep(lambda: _write_token(endpoints, server))
    raise AssertionError


def _write_token(endpoints: Endpoints, server: TorchServe) -> None:
    with contextlib.suppress(OSError):  # a full disk must not stop serving
        endpoints.write_token(server.key())


def _describe(archive: ServedArchive, options: Options) -> str:
    """Return what is said of an archive: that it is sound, and which options do not reach it."""
    asked = archive.serving
    parts = [f"{archive.name} {archive.version}: sha-256 {archive.digest[:16]}, sound"]
    if options.workers is not None and asked.workers not in (None, options.workers):
        parts.append(f"workers {asked.workers}, as the archive says, not {options.workers}")
    # TorchServe's doing: a file of options that does not say it hides the server's.
    seconds = asked.response_timeout or (STOCK_TIMEOUT if archive.has_options else None)
    if seconds not in (None, options.response_timeout):
        parts.append(f"response timeout {seconds} s, by it, not {options.response_timeout}")
    return "; ".join(parts)


@contextlib.contextmanager
def _stop_at_end(
    server: TorchServe, endpoints: Endpoints, say_line: Callable[[str], None]
) -> Iterator[None]:
    """Stop a server at the end, whatever ends it; a signal that comes meanwhile does so at once."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: server.kill())
        say_line("stopping TorchServe")
        server.stop()
        endpoints.remove_token()


def _hang_up(_number: int, _frame: FrameType | None) -> NoReturn:
    raise HungUp


def _say_on(text: str, *, stream: TextIO, raw: bool = False) -> None:
    """Write a line; a full disk or a reader that is gone must not stop serving."""
    with contextlib.suppress(OSError):
        say(text if raw else clean(text), stream)
