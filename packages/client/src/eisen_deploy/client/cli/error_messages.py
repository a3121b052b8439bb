"""The message for an error: one line, and with ``--debug`` where it was raised."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from eisen_deploy.client import _errors as errors
from eisen_deploy.client._shared.command.terminal import say
from eisen_deploy.client._shared.printable import clean
from eisen_deploy.client.files import FileError

from .exit_statuses import UsageError, status_of

#: What to do, in terms of this command; else the error's own advice.
_ADVICE: dict[type[errors.EisenClientError], str] = {
    errors.DeadlineExceeded: "--timeout gives it longer",
    errors.InvalidInput: "eisen-client metadata shows what the model takes",
    errors.InvalidURL: "give the model's address: http://HOST:8080/predictions/MODEL",
    errors.Redirected: "if that address is the right one, give it",
    errors.ReplyTooLarge: "ask for fewer outputs",
    errors.TLSFailed: "--ca takes the file of the certificate authority to trust, --cert and "
    "--key the certificate of this workstation",
    errors.Unauthorized: "--token-file or EISEN_TOKEN takes the inference key of the server's "
    "key_file.json, which expires",
    errors.UnknownOutcome: "--idempotent sends it again, where running the model twice does no "
    "harm",
}

#: The program whose command runs, and its advice.
_speaker = ContextVar("_speaker", default=("eisen-client", _ADVICE))


@contextmanager
def speaking_as(
    program: str, advice: Mapping[type[errors.EisenClientError], str]
) -> Iterator[None]:
    """Name another program in messages, and give its advice where it has some of its own."""
    token = _speaker.set((program, {**_ADVICE, **advice}))
    try:
        yield
    finally:
        _speaker.reset(token)


def complain(text: str) -> None:
    """Write a line to the standard error, after the program's name."""
    program, _ = _speaker.get()
    say(f"{program}: {clean(' '.join(text.split(chr(10))))}", sys.stderr)


def note(text: str) -> None:
    """Write what the user should know, though nothing failed, to the standard error."""
    complain(f"note: {text}")


def report_error(error: BaseException, debug: bool) -> int:
    """Say what was wrong, and where if that is asked for; return the exit status."""
    if debug:
        say("".join(format_trace(error)).rstrip(), sys.stderr)
    complain(explain_error(error))
    return status_of(error)


def explain_error(error: BaseException) -> str:
    """Return one line for an error; of an unexpected one only its name, for it may quote data."""
    if isinstance(error, errors.EisenClientError):
        error.advice = _choose_advice(error)
        return str(error)
    if isinstance(error, (FileError, UsageError)):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, MemoryError):
        return "this machine has too little memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"unexpected {type(error).__name__} (--debug shows where)"


def _choose_advice(error: errors.EisenClientError) -> str:
    special: str = vars(error).get("advice", "")
    if special and "=" not in special:  # else it names parameters
        return special
    _, advice = _speaker.get()
    return advice.get(type(error), error.advice)


def format_trace(error: BaseException) -> Iterator[str]:
    """Yield where an error and its causes were raised; texts of other libraries are left out."""
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from format_trace(cause)
    yield from traceback.format_tb(error.__traceback__)
    ours = isinstance(error, (errors.EisenClientError, FileError, UsageError))
    yield f"{type(error).__name__}: {error}\n" if ours else f"{type(error).__name__}\n"
