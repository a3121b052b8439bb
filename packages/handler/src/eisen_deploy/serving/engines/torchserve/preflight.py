"""What is checked before a server is started: system, ports, certificates, who can reach it."""

from __future__ import annotations

import base64
import binascii
import errno
import re
import socket
import ssl
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from eisen_deploy.serving.engines.served_archives import ServedArchive

from .settings.options import MOST_BODY, Options

_RSA = bytes.fromhex("2a864886f70d010101")  # the object identifier rsaEncryption
_KEY = re.compile(
    r"-----BEGIN (RSA )?PRIVATE KEY-----\s(.*?)-----END (?:RSA )?PRIVATE KEY-----", re.DOTALL
)


class Refused(Exception):
    """A server cannot be started so.

    :param problems: one sentence for each thing that is wrong, with the option that changes it.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


def check_system() -> None:
    """Check that this is Linux: elsewhere nobody can see to it that all of a server ends.

    :raises Refused: if it is not.
    """
    if not sys.platform.startswith("linux"):
        problem = (
            "eisen-serve starts TorchServe on Linux only: use a Linux container or WSL 2, or "
            "start torchserve itself; the archives are the same"
        )
        raise Refused([problem])


def check_options(options: Options, *, insecure: bool) -> None:
    """Check what can be checked without archives.

    :param insecure: whether it was said that others may reach the server without token and TLS.
    :raises Refused: with each thing that is wrong.
    """
    problems = [*_check_host(options), *_check_tls(options)]
    if options.max_body > MOST_BODY:
        problems.append(f"--max-body: TorchServe takes at most {MOST_BODY} bytes (2 GiB - 1)")
    if options.is_reachable and not (options.token_auth or options.tls_cert or insecure):
        problems.append(
            f"--host {options.host}: whoever reaches this machine could send requests, and read "
            "what is on the wire: add --token-auth or --tls-cert and --tls-key, or say --insecure"
        )
    if problems:
        raise Refused(problems)


def check_samples(archives: Iterable[ServedArchive], options: Options) -> None:
    """Check that the samples, by which readiness is known, are not larger than a body may be.

    :raises Refused: with each one that is.
    """
    problems = [
        f"{archive.path}: its sample has {len(archive.sample[0])} bytes: --max-body takes more"
        for archive in archives
        if archive.sample is not None and len(archive.sample[0]) > options.max_body
    ]
    if problems:
        raise Refused(problems)


def check_ports(options: Options) -> None:
    """Check that nobody listens on the ports.

    :raises Refused: with each one that is taken, and its option.
    """
    wanted = {
        "--port": (options.host, options.port),
        "--management-port": ("127.0.0.1", options.management_port),
        "--metrics-port": ("127.0.0.1", options.metrics_port),
    }
    problems = [
        f"{host}:{port} {why}: {option} takes another one"
        for option, (host, port) in wanted.items()
        if (why := _explain_unusable(host, port)) is not None
    ]
    ports = [port for _, port in wanted.values()]
    if len(set(ports)) < len(ports):
        problems.append(f"{', '.join(wanted)}: three different ports are needed, got {ports}")
    if problems:
        raise Refused(problems)


def _explain_unusable(host: str, port: int) -> str | None:
    """Say why a port cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            return "is not permitted to this user"
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return "is taken" if taken else f"cannot be used: {error.strerror}"
    return None


def _check_host(options: Options) -> Iterator[str]:
    if ":" in options.host:
        yield f"--host {options.host}: TorchServe takes names and IPv4 addresses only"
        return
    try:
        socket.getaddrinfo(options.host, None, socket.AF_INET)
    except OSError as error:
        yield f"--host {options.host}: {error.strerror}"


def _check_tls(options: Options) -> Iterator[str]:
    cert, key = options.tls_cert, options.tls_key
    if (cert is None) != (key is None):
        yield "--tls-cert and --tls-key: give both: TorchServe would make up a certificate itself"
    if cert is None or key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key, password=_no_password)
    except _Encrypted:
        yield f"--tls-key {key}: it is encrypted, and TorchServe cannot ask for a password"
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or error
        yield f"--tls-cert {cert}, --tls-key {key}: no certificate and its key: {why}"
    else:
        if not _is_rsa(key):
            yield f"--tls-key {key}: TorchServe takes RSA keys only"


class _Encrypted(Exception):
    """A key asks for a password."""


def _no_password() -> str:
    raise _Encrypted


def _is_rsa(key: Path) -> bool:
    found = _KEY.search(key.read_text("ascii", "replace"))
    if found is None:
        return False
    try:
        return bool(found[1]) or _RSA in base64.b64decode(found[2])
    except binascii.Error:
        return False
