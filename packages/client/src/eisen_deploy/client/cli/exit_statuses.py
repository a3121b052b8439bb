"""Exit statuses, one for each kind of error that a script would treat in its own way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from eisen_deploy.client import _errors as errors
from eisen_deploy.client import files
from eisen_deploy.client._shared.command import program


class UsageError(Exception):
    """The arguments do not make sense together, or with this model."""


class Exit(NamedTuple):
    """One status, what it means, and the errors that end with it; the nearest base counts."""

    status: int
    meaning: str
    errors: tuple[type[BaseException], ...] = ()


EXITS = (
    Exit(0, "done"),
    Exit(1, "a fault of this program", (BaseException,)),
    Exit(2, "wrong arguments", (UsageError, errors.InvalidURL)),
    Exit(
        3,
        "an input file is missing, damaged or not supported",
        (files.UnreadableFile, files.UnsupportedFile),
    ),
    Exit(4, "an output file exists already or cannot be written", (files.FileError, OSError)),
    Exit(5, "the output does not fit the geometry of the input", (files.GeometryMismatch,)),
    Exit(6, "a library is missing: an extra has to be installed", (files.MissingExtra,)),
    Exit(7, "the inputs are not what the model declares", (errors.InvalidInput,)),
    Exit(10, "no connection to the server", (errors.ConnectionFailed,)),
    Exit(11, "the proxy refused", (errors.ProxyFailed,)),
    Exit(12, "no trust in a certificate, or another fault of TLS", (errors.TLSFailed,)),
    Exit(13, "the token is missing, wrong or expired", (errors.Unauthorized,)),
    Exit(14, "no such model, version or address on the server", (errors.ModelNotFound,)),
    Exit(15, "request or reply is too large", (errors.RequestTooLarge, errors.ReplyTooLarge)),
    Exit(16, "the server is busy, or the model not ready", (errors.ServerBusy, errors.NotReady)),
    Exit(17, "no whole reply within --timeout", (errors.DeadlineExceeded,)),
    Exit(18, "the reply was lost: the model may have run", (errors.UnknownOutcome,)),
    Exit(19, "the model or the server failed", (errors.ServerFailed,)),
    Exit(
        20, "any other refusal, or an answer that is not of the model", (errors.EisenClientError,)
    ),
    Exit(program.INTERRUPTED, "interrupted", (KeyboardInterrupt,)),
    Exit(program.NOBODY_READS, "nobody reads the output"),
    Exit(program.ENDED, "ended by SIGTERM"),
)

_STATUS = {error: each.status for each in EXITS for error in each.errors}


def status_of(error: BaseException) -> int:
    """Return the status with which an error ends the program."""
    return next(_STATUS[base] for base in type(error).__mro__ if base in _STATUS)


def format_table(exits: Iterable[Exit] = EXITS) -> str:
    """Return statuses and their meanings as lines of text."""
    return "\n".join(f"  {each.status:>3}  {each.meaning}" for each in exits)
