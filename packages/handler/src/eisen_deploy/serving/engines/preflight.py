"""What is checked before any server is started: system, ports, certificates, who can reach it."""

from __future__ import annotations

import errno
import re
import shlex
import socket
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from eisen_deploy.serving.runtime._shared.printable import clean

from .environment.probes import copy_environment, read_versions
from .environment.requirements import find_unmet, parse_name
from .keys import read_keys
from .options import Options
from .served_archives import ServedArchive

#: What stands for all addresses of a machine.
_EVERY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104


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
            "eisen-serve starts servers on Linux only: use a Linux container or WSL 2, or start "
            "torchserve itself; the archives are the same"
        )
        raise Refused([problem])


def find_problems(options: Options, *, insecure: bool) -> Iterator[str]:
    """Yield what is wrong with options, whatever server is started.

    :param insecure: whether it was said that others may reach the server without token and TLS.
    """
    yield from _check_host(options)
    yield from _check_tls(options)
    yield from _check_token(options)
    if options.is_reachable and not (options.token_auth or options.tls_cert or insecure):
        yield (
            f"--host {options.host}: whoever reaches this machine could send requests, and read "
            "what is on the wire: add --token-auth or --tls-cert and --tls-key, or say --insecure"
        )


def refuse(problems: Sequence[str]) -> None:
    """Raise if there are problems.

    :raises Refused: with each of them.
    """
    if problems:
        raise Refused(problems)


def find_large_samples(archives: Iterable[ServedArchive], options: Options) -> Iterator[str]:
    """Yield which samples, by which readiness is known, are larger than a body may be."""
    for archive in archives:
        if archive.sample is not None and len(archive.sample[0]) > options.max_body:
            size = len(archive.sample[0])
            yield f"{clean(str(archive.path))}: its sample has {size} bytes: --max-body takes more"


def explain_missing_requirements(archives: Sequence[ServedArchive], python: str) -> str | None:
    """Say which requirements of archives are not installed, and what installs all of them.

    They are no reason to refuse: the same modules may have come by another distribution. If they
    have not, the model does not load.

    :param python: the interpreter of the server's environment.
    :return: ``None`` if all are.
    """
    names = {parse_name(line) for archive in archives for line in archive.requirements}
    if not names:
        return None
    installed = read_versions(python, sorted(names), copy_environment()).distributions
    lacking = {
        archive.url_part: [line for line, version in unmet.items() if version is None]
        for archive in archives
        if (unmet := find_unmet(archive.requirements, installed))
    }
    lines = dict.fromkeys(line for each in lacking.values() for line in each)
    if not lines:
        return None
    needs = "; ".join(f"{name} needs {', '.join(each)}" for name, each in lacking.items() if each)
    install = shlex.join([python, "-m", "pip", "install", "--no-deps", *lines])
    return f"{needs}, which the server's environment lacks: {install}"


def find_taken_ports(wanted: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Yield which ports cannot be listened on, and which hosts, each with its option.

    :param wanted: host and port by the option that sets the port.
    """
    found = (_explain_unusable(option, *address) for option, address in wanted.items())
    yield from dict.fromkeys(why for why in found if why is not None)  # a host has several ports
    ports = [port for _, port in wanted.values()]
    if len(set(ports)) < len(ports):
        yield f"{', '.join(wanted)}: different ports are needed, got {ports}"


def _explain_unusable(option: str, host: str, port: int) -> str | None:
    """Say why a port cannot be listened on, and what to do."""
    why = None
    with socket.socket(_find_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except socket.gaierror:
            return None  # the host is wrong, and its own check says so
        except PermissionError:
            why = "is not permitted to this user"
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return (
                    f"--host {host}: not an address of this machine: give one of its own, "
                    f"{_EVERY[probe.family]} for all of them, or leave --host out to serve this "
                    "machine only"
                )
            taken = error.errno == errno.EADDRINUSE
            why = "is taken" if taken else f"cannot be used: {error.strerror}"
    return None if why is None else f"{host}:{port} {why}: {option} takes another one"


def _check_host(options: Options) -> Iterator[str]:
    try:
        socket.getaddrinfo(options.host, None, _find_family(options.host))
    except OSError as error:
        yield f"--host {options.host}: {error.strerror}"


def _find_family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _check_tls(options: Options) -> Iterator[str]:
    cert, key = options.tls_cert, options.tls_key
    if (cert is None) != (key is None):
        yield "--tls-cert and --tls-key: give both, or neither to serve without TLS"
    if cert is None or key is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key, password=_no_password)
    except _Encrypted:
        yield f"--tls-key {key}: it is encrypted, and a server cannot ask for a password"
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or error
        yield f"--tls-cert {cert}, --tls-key {key}: no certificate and its key: {why}"


def _check_token(options: Options) -> Iterator[str]:
    if options.token_file is None:
        return
    try:
        if not re.fullmatch(r"[!-~]+", read_keys(options.token_file).inference or ""):
            yield (
                f"--token-file {options.token_file}: expected one line of printable ASCII "
                "characters without spaces, or a key_file.json"
            )
    except OSError as error:
        yield f"--token-file {options.token_file}: {error.strerror}"


class _Encrypted(Exception):
    """A key asks for a password."""


def _no_password() -> str:
    raise _Encrypted
