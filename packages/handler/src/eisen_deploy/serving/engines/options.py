"""What the person who serves decides: where, to whom, how large, how long."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
GIB = 2**30
# To listen on one below takes a privilege.
_FIRST_PORT_OF_USERS, LAST_PORT = 1024, 65535

# What an address that stands for all of a machine's is reached by from there.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


@dataclass(frozen=True)
class Options:
    """What the person who serves decides.

    :param host: address on which predictions are answered.
    :param workers: processes for each model that does not say it; ``None``: one, or one for
        each GPU.
    :param max_body: the largest request and the largest reply, in bytes.
    :param token_auth: whether clients have to send a token.
    :param token_file: the file with that token; ``None``: the server makes one.
    :param tls_cert: PEM file with the certificate and its chain; ``tls_key`` its RSA key.
    :param response_timeout: seconds for an answer; ``startup_timeout`` for loading.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    management_port: int = 8081
    metrics_port: int = 8082
    workers: int | None = None
    max_body: int = 512 * MIB
    token_auth: bool = False
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    response_timeout: int = 300
    startup_timeout: int = 300

    @property
    def is_reachable(self) -> bool:
        """Whether other machines can send requests."""
        return not is_loopback(self.host)

    @property
    def scheme(self) -> str:
        """``https`` with a certificate, else ``http``."""
        return "http" if self.tls_cert is None else "https"

    @property
    def url(self) -> str:
        """The address of predictions, as it was asked for."""
        return self._make_url(self.host)

    @property
    def local_url(self) -> str:
        """The address of predictions, as it is reached from this machine."""
        return self._make_url(_LOCAL.get(self.host, self.host))

    def _make_url(self, host: str) -> str:
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"


def find_port_behind(port: int, distance: int) -> int:
    """Return the port so far behind that of predictions, as TorchServe's own three lie.

    Behind one of the system's ports (443, say) are others of them, and behind the last one is none:
    then it is TorchServe's own.
    """
    shifts = _FIRST_PORT_OF_USERS <= port <= LAST_PORT - 2
    return (port if shifts else Options.port) + distance


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
