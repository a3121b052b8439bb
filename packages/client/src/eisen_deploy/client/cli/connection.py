"""The arguments that every command has, and the client that they make."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from eisen_deploy.client import EisenClientError, EisenServingClient

from .error_messages import complain
from .exit_statuses import UsageError
from .settings import find_file, is_path, read_settings

_TOKEN = "EISEN_TOKEN"  # noqa: S105 - the name of a variable


def add_arguments(parser: argparse.ArgumentParser, timeout: float) -> None:
    """Add the address, and how to reach it.

    :param timeout: seconds, unless the user says otherwise.
    """
    where = "the model's address, http://HOST:8080/predictions/MODEL[/VERSION] (also: EISEN_URL)"
    parser.add_argument("url", metavar="URL", nargs="?", help=where)
    add = parser.add_argument_group("connection").add_argument
    add("--timeout", metavar="SECONDS", type=float, default=timeout, help="default: %(default)g")
    what = "the file of the inference key, alone or as TorchServe's key_file.json"
    add("--token-file", metavar="FILE", type=Path, help=f"{what} (also: {_TOKEN})")
    add("--token", action=_NoToken, help=argparse.SUPPRESS)
    what = "the certificate authority to trust, PEM, or system for those of the operating system"
    add("--ca", metavar="FILE", help=f"{what} (also: EISEN_CA)")
    add("--cert", metavar="FILE", help="this workstation's certificate, PEM (also: EISEN_CERT)")
    add("--key", metavar="FILE", help="its key, if it is in another file (also: EISEN_KEY)")
    add("--no-verify", action="store_true", help="trust any certificate: anyone may listen")


class _NoToken(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error(
            "others on this machine can read a command line: put the token into a file for "
            f"--token-file, or into {_TOKEN}"
        )


def has_token(arguments: argparse.Namespace) -> bool:
    """Whether any credentials are sent."""
    named = arguments.token_file or os.environ.get(_TOKEN) or urlsplit(arguments.url).username
    return bool(named)


def make_client(
    arguments: argparse.Namespace, *, retries: int = 3, validate_inputs: bool = False
) -> EisenServingClient:
    """Return the client that the arguments ask for; other parameters as of that class.

    What the command line leaves out is filled in from the settings.

    :raises UsageError: if they cannot be used.
    """
    sources = _fill_in(arguments)
    if arguments.key and not arguments.cert:
        raise UsageError("--key belongs to --cert, which is missing")
    if arguments.no_verify and arguments.ca:
        raise UsageError("--ca and --no-verify exclude each other")
    for flag in ("ca", "cert", "key"):
        path = getattr(arguments, flag)
        if path is not None and is_path(flag, path) and not Path(path).exists():
            raise UsageError(f"{sources.get(flag, f'--{flag}')} {path}: there is no such file")
    if arguments.no_verify:
        complain("warning: --no-verify: anyone in between can read the data and the token")
    try:
        return EisenServingClient(
            arguments.url,
            validate_inputs,
            token=arguments.token_file or os.environ.get(_TOKEN) or None,
            timeout=arguments.timeout,
            verify=not arguments.no_verify if arguments.ca is None else arguments.ca,
            cert=(arguments.cert, arguments.key) if arguments.key else arguments.cert,
            retries=retries,
        )
    except EisenClientError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None


def _fill_in(arguments: argparse.Namespace) -> dict[str, str]:
    """Take from the settings what the command line leaves out; return where each is from.

    :raises UsageError: if no address is left.
    """
    more_urgent = {
        "ca": arguments.no_verify,
        "key": arguments.cert is not None,  # they are a pair
        "token_file": bool(os.environ.get(_TOKEN)),
    }
    settings = read_settings()
    taken = [
        name for name in settings if getattr(arguments, name) is None and not more_urgent.get(name)
    ]
    for name in taken:
        setattr(arguments, name, settings[name].value)
    if arguments.token_file is not None:
        arguments.token_file = Path(arguments.token_file)
    if arguments.url is None:
        raise UsageError(
            f"give the model's address, URL, or set EISEN_URL, or url in {find_file()}"
        )
    return {name: settings[name].source for name in taken}
