"""Arguments that ``run`` and ``config`` share, and how their texts are read."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from eisen_deploy.serving.engines import sizes
from eisen_deploy.serving.engines.engine import Engine
from eisen_deploy.serving.engines.options import LAST_PORT, MIB, Options, find_port_behind
from eisen_deploy.serving.engines.ray.local.engine import RayEngine
from eisen_deploy.serving.engines.torchserve.engine import TorchServeEngine
from eisen_deploy.serving.engines.uvicorn.engine import UvicornEngine

_DEFAULT = Options()

#: The engines by the name that ``--engine`` takes.
ENGINES: dict[str, Callable[[], Engine]] = {
    "torchserve": TorchServeEngine,
    "uvicorn": UvicornEngine,
    "ray": RayEngine,
}


def parse_size(text: str) -> int:
    """Read a size: ``512MiB``, ``1GB``, ``64M`` (MiB, as Java has it), or a number of bytes.

    :raises argparse.ArgumentTypeError: for anything else, and for less than one byte.
    """
    try:
        return sizes.parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_port(text: str) -> int:
    """Read the number of a port."""
    return _parse_integer(text, 1, LAST_PORT)


def parse_positive(text: str) -> int:
    """Read a number from 1 on."""
    return _parse_integer(text, 1, 2**31 - 1)


def find_interpreter(text: str) -> str:
    """Return the whole path of an interpreter, since the server works in another folder.

    A link stays one: what it links to would belong to another environment.
    """
    return os.path.abspath(shutil.which(text) or text)  # noqa: PTH100 - without resolving


def find_whole_path(path: Path) -> Path:
    """Return an absolute path without ``..``.

    Links stay links, since what they link to is replaced when a certificate is renewed; except
    those before a ``..``, which is the parent of what they link to.
    """
    whole = path.absolute()
    parts = whole.parts
    if ".." not in parts:
        return whole
    rest = len(parts) - parts[::-1].index("..")
    return Path(*parts[:rest]).resolve().joinpath(*parts[rest:])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a server is configured with."""
    add = parser.add_argument
    add(
        "archives",
        metavar="MAR",
        type=Path,
        nargs="+",
        help="an archive, or a folder with archives (*.mar); several have each a URL",
    )
    add(
        "--engine",
        choices=list(ENGINES),
        default="torchserve",
        help="what serves them; uvicorn takes one archive, needs no Java, and answers everything "
        "on one port; ray takes any number, and starts a Ray of one node; default: %(default)s",
    )
    add("--host", default=_DEFAULT.host, help="address to listen on; default: %(default)s")
    add(
        "--port",
        metavar="N",
        type=parse_port,
        default=_DEFAULT.port,
        help="for predictions; default: %(default)s",
    )
    for flag, which in (("--management-port", "port"), ("--metrics-port", "second port")):
        add(
            flag,
            metavar="N",
            type=parse_port,
            help=f"of TorchServe, on 127.0.0.1 always; default: the {which} behind --port",
        )
    add_limits(parser)
    add("--token-auth", action="store_true", help="clients have to send a token")
    add(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="clients have to send the token in this file, which is read again when it changes; "
        "not for TorchServe; default: a new token at each start",
    )
    add("--tls-cert", metavar="PEM", type=Path, help="certificate and chain: serve with TLS")
    add(
        "--tls-key",
        metavar="PEM",
        type=Path,
        help="its key, not encrypted; for TorchServe RSA",
    )
    add("--insecure", action="store_true", help="let others reach it without token and TLS")
    add(
        "--python",
        metavar="FILE",
        type=find_interpreter,
        default=sys.executable,
        help="interpreter of the server's environment; default: the one that runs this",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add how many, how large and how long: what does not depend on where a server runs."""
    add = parser.add_argument
    add(
        "--workers",
        metavar="N",
        type=parse_positive,
        help="processes for each model whose archive does not say it; default: 1, or one a GPU",
    )
    add(
        "--max-body",
        metavar="SIZE",
        type=parse_size,
        default=_DEFAULT.max_body,
        help="the largest request and the largest reply, such as 64MiB or 1GB; default: "
        f"{_DEFAULT.max_body // MIB}MiB",
    )
    add(
        "--response-timeout",
        metavar="S",
        type=parse_positive,
        default=_DEFAULT.response_timeout,
        help="seconds for an answer; default: %(default)s",
    )
    add(
        "--startup-timeout",
        metavar="S",
        type=parse_positive,
        default=_DEFAULT.startup_timeout,
        help="seconds in which all models have to be ready; default: %(default)s",
    )


def make_limits(arguments: argparse.Namespace) -> Options:
    """Return the options of :func:`add_limits`, and whether a token is asked for."""
    return Options(
        workers=arguments.workers,
        max_body=arguments.max_body,
        token_auth=arguments.token_auth,
        response_timeout=arguments.response_timeout,
        startup_timeout=arguments.startup_timeout,
    )


def make_options(arguments: argparse.Namespace) -> Options:
    """Return the options that were given."""
    given = {field.name: getattr(arguments, field.name) for field in fields(Options)}
    names = ("tls_cert", "tls_key", "token_file")
    files = {name: given[name] and find_whole_path(given[name]) for name in names}
    for distance, name in enumerate(("management_port", "metrics_port"), 1):
        given[name] = given[name] or find_port_behind(given["port"], distance)
    given["token_auth"] = arguments.token_auth or arguments.token_file is not None
    return Options(**{**given, **files})


def _parse_integer(text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, got {text!r}")
    return int(text)
