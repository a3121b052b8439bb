"""``eisen-client check``: what stands between this workstation and a model, one step at a time."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import numpy as np

from eisen_deploy.client import EisenServingClient
from eisen_deploy.client import _errors as errors
from eisen_deploy.client._shared.command import program
from eisen_deploy.client._shared.command.terminal import align_columns, format_size, say
from eisen_deploy.client._shared.model.metadata import Metadata
from eisen_deploy.client.files.text_files import to_json

from . import connection
from .error_messages import explain_error
from .exit_statuses import status_of

_STEPS = ("address", "connection", "encryption", "token", "model", "limits")
_UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
#: No input of a model is called so.
_PROBE = "eisen-client check"


class Check(NamedTuple):
    """One step: ``ok``, ``warning``, ``failed`` or ``skipped``, and what is known about it."""

    check: str
    status: str
    detail: str


def add_parser(commands: program.Commands) -> argparse.ArgumentParser:
    """Add this command's arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="check address, connection, encryption, token, model and limits",
        description="Check address, connection, encryption, token, model and limits, and say what "
        "to do about the first that fails. The exit status is that of its error. The model does "
        "not run.",
        epilog="example: eisen-client check http://server:8080/predictions/seg --size 180MiB",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.add_argument(
        "--size",
        metavar="SIZE",
        type=_parse_size,
        default=8 * 2**20,
        help="size of a request that the server should take, such as 180MiB; default: 8MiB",
    )
    connection.add_arguments(parser, timeout=30.0)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return the status of the first that failed."""
    checks, error = _run_checks(arguments)
    if arguments.json:
        result = {"ok": error is None, "checks": [each._asdict() for each in checks]}
        say(to_json(result, for_terminal=True))
    else:
        say("\n".join(align_columns(checks)))
    return 0 if error is None else status_of(error)


def _run_checks(
    arguments: argparse.Namespace,
) -> tuple[list[Check], errors.EisenClientError | None]:
    done: list[Check] = []
    error = None
    try:
        with connection.make_client(arguments, retries=0) as client:
            done.extend(_check_metadata(client, arguments))
            done.append(_check_size(client, arguments.size))
    except errors.EisenClientError as failed:
        error = failed
        step = "limits" if done else _find_step(failed)
        done = done or _infer_passed(step, arguments)
        done.append(Check(step, "failed", explain_error(failed)))
    rest = _STEPS[len(done) :]
    return [*done, *(Check(step, "skipped", "") for step in rest)], error


def _check_metadata(client: EisenServingClient, arguments: argparse.Namespace) -> Iterator[Check]:
    start = time.monotonic()
    metadata = Metadata.parse(client.get_metadata())
    taken = f"answered in {1000 * (time.monotonic() - start):.0f} ms"
    sent = connection.has_token(arguments)
    yield from _check_way(arguments, taken)
    yield Check("token", "ok", "accepted" if sent else "not needed")
    yield Check("model", "ok", _describe_inputs(metadata))


def _check_way(arguments: argparse.Namespace, taken: str) -> Iterator[Check]:
    parts = urlsplit(arguments.url)
    yield Check("address", "ok", f"{_host_and_port(parts)}{parts.path}")
    yield Check("connection", "ok", taken)
    if parts.scheme == "https":
        checked = "ok" if not arguments.no_verify else "warning"
        yield Check("encryption", checked, "https" + ", unchecked" * (checked != "ok"))
    else:
        near = parts.hostname in ("localhost", "127.0.0.1", "::1")
        detail = "none: data and token can be read on the way"
        yield Check("encryption", "ok" if near else "warning", "none" if near else detail)


def _host_and_port(parts: SplitResult) -> str:
    host = parts.hostname or ""
    port = {"http": 80, "https": 443}[parts.scheme] if parts.port is None else parts.port
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _infer_passed(step: str, arguments: argparse.Namespace) -> list[Check]:
    """Return the checks that must have passed if a call got as far as a step and failed there."""
    if step == "address":
        return []
    passed = [*_check_way(arguments, "answered"), Check("token", "ok", "not refused")]
    return passed[: _STEPS.index(step)]


def _find_step(error: errors.EisenClientError) -> str:
    if isinstance(error, errors.InvalidURL):
        return "address"
    if isinstance(error, errors.TLSFailed):
        return "encryption"
    connecting = isinstance(error, errors.DeadlineExceeded) and error.stage == "connecting"
    if isinstance(error, errors.ConnectionFailed) or connecting:
        return "connection"
    return "token" if isinstance(error, errors.Unauthorized) else "model"


def _describe_inputs(metadata: Metadata) -> str:
    if metadata.inputs is None:
        return "answers; it does not declare its inputs"
    inputs = ", ".join(each.name for each in metadata.inputs)
    return f"answers; it takes {inputs}"


def _check_size(client: EisenServingClient, count: int) -> Check:
    """Send that many bytes, as an input that the model's handler refuses before the model runs.

    :raises RequestTooLarge: if the server takes no request of that size.
    """
    if Metadata.parse(client.get_metadata()).inputs is None:
        return Check("limits", "skipped", "the model may run on anything: nothing was sent")
    with suppress(errors.InvalidInput):
        client.predict({_PROBE: np.zeros(count, np.uint8)})
    detail = f"takes requests of {format_size(count)}; --size tries another size"
    return Check("limits", "ok", detail)


def _parse_size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,12})\s*([A-Za-z]*)", text)
    if match is None or match[2] not in _UNITS:
        units = ", ".join(filter(None, _UNITS))
        raise argparse.ArgumentTypeError(f"expected a size such as 180MiB, in bytes or {units}")
    return int(match[1]) * _UNITS[match[2]]
