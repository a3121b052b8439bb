"""``predict`` with a model that no server runs: the command ``eisen-pack predict``.

Arguments, files, checks, messages and exit statuses are those of ``eisen-client predict``; only who
answers is another. Files and their geometry are read and written here and nowhere else, and this
distribution runs no model: so ``eisen-deploy-packaging`` hands one in, as a :class:`LocalModel`.
No class of one distribution is known to the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import urllib3

from eisen_deploy.client import EisenServingClient, WorkerDied
from eisen_deploy.client import _errors as errors
from eisen_deploy.client._call.calls import Call
from eisen_deploy.client._http.answers import HTTPAnswer
from eisen_deploy.client._http.exchange import Exchange
from eisen_deploy.client._http.network_errors import map_network_error
from eisen_deploy.client._shared.printable import clean
from eisen_deploy.client._waiting.callbacks import CallerError, make_watcher
from eisen_deploy.client._waiting.deadline import Stopped, check_seconds, run_until
from eisen_deploy.client.cli.error_messages import report_error, speaking_as
from eisen_deploy.client.cli.exit_statuses import EXITS, UsageError
from eisen_deploy.client.cli.exit_statuses import format_table as format_exits
from eisen_deploy.client.files import FileError

from .command import DESCRIPTION, KINDS_OF_FILES, TIMEOUT, add_file_arguments, predict_files

if TYPE_CHECKING:
    from eisen_deploy.client.testing import FakeModel

__all__ = ["DESCRIPTION", "KINDS_OF_FILES", "LocalModel", "add_arguments", "format_table", "run"]

_ADVICE: dict[type[errors.EisenClientError], str] = {
    errors.InvalidInput: "eisen-pack inspect shows what the model takes",
    errors.MalformedReply: "its handler may have a form of reply of its own",
    errors.ServerFailed: "the archive's serving options say how long it may take",
}

_WITHHELD: dict[type[errors.EisenClientError], str] = {
    errors.ModelFailed: "--show-errors shows what it said: that may hold data"
}

#: Statuses that mean the program's own affairs, or a server.
_OTHER_STATUSES = {0, 1, 10, 11, 12, 13, 14, 16, 18}


def format_table() -> str:
    """Return the exit statuses of :func:`run`, but for 0, and their meanings as lines of text."""
    return format_exits(each for each in EXITS if each.status not in _OTHER_STATUSES)


class LocalModel(Protocol):
    """A model that answers as a server does, without one."""

    def answer(
        self, headers: Mapping[str, str], body: Sequence[bytes | memoryview]
    ) -> tuple[int, Mapping[str, str], bytearray]:
        """Answer one request; called on another thread than :meth:`stop`.

        :param body: its buffers, in order; none ask for the metadata.
        :returns: status, headers and body of the reply.
        :raises ChildProcessError: if what runs the model has ended; the text says how.
        """

    def stop(self) -> None:
        """Make a running answer end soon, whatever its result."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``eisen-client predict``, but those of a connection, and our own."""
    add_file_arguments(parser)
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=TIMEOUT, help="default: %(default)g"
    )
    parser.add_argument(
        "--show-errors",
        action="store_true",
        help="show the texts of errors that the model or a transform raises; they may hold data",
    )
    parser.set_defaults(url=None)


def run(
    arguments: argparse.Namespace,
    open_model: Callable[[], AbstractContextManager[LocalModel]],
    *,
    name: str,
    program: str,
) -> int:
    """Read, predict, write, as ``eisen-client predict`` does.

    :param arguments: those of :func:`add_arguments`, and ``debug``.
    :param open_model: is called once the arguments are checked. What it raises leaves this as it
        is; so does every error that is not of the client.
    :param name: what messages call the model.
    :param program: what they call the program.
    :returns: the exit status.
    """
    with speaking_as(program, _ADVICE if arguments.show_errors else {**_ADVICE, **_WITHHELD}):
        try:
            return predict_files(arguments, partial(_open_client, arguments, open_model))
        except (errors.EisenClientError, FileError, UsageError) as error:
            if isinstance(error, errors.EisenClientError):
                error.endpoint = clean(name)
            return report_error(error, arguments.debug)


@contextmanager
def _open_client(
    arguments: argparse.Namespace, open_model: Callable[[], AbstractContextManager[LocalModel]]
) -> Iterator[EisenServingClient]:
    try:
        timeout = check_seconds(arguments.timeout)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with open_model() as model:
        transport = cast("FakeModel", _LocalTransport(model))  # the public name of what is taken
        url = "http://localhost/predictions/model"  # nobody is asked there
        with EisenServingClient(url, True, timeout=timeout, retries=0, transport=transport) as it:
            yield it


class _LocalTransport:
    """Brings the answers of a local model, under the deadline of each call."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model

    def post(self, call: Call) -> HTTPAnswer:
        """Answer a request of the client."""
        exchange = Exchange(call.deadline, call.body)
        exchange.authorised = exchange.connected = exchange.complete = True
        exchange.sent = exchange.size
        failure: Exception
        try:
            return run_until(
                call.deadline,
                partial(self._answer, call),
                self._model.stop,
                make_watcher(call.progress, exchange),
            )
        except Stopped as stopped:
            failure = map_network_error(stopped, exchange)
        except CallerError as raised:
            failure = raised.error
        except ChildProcessError as ended:
            failure = WorkerDied(str(ended), advice="a server's worker would end so, too")
        raise failure

    def close(self) -> None:
        """Do nothing: who opened the model ends it."""

    def _answer(self, call: Call) -> HTTPAnswer:
        headers = {name: text for name, text in call.headers.items() if name != "Accept-Encoding"}
        status, given, body = self._model.answer(headers, call.body.buffers)
        return HTTPAnswer(status, urllib3.HTTPHeaderDict(given), body, source="the archive")
