"""The certificate of a server, and what is wrong with it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from .asking import Endpoint

# OpenSSL's X509_V_ERR_...
_EXPIRED, _SELF_SIGNED, _HOST_NAME, _ADDRESS = 10, 18, 62, 64


@dataclass(frozen=True)
class Certificate:
    """What a client that checks certificates would say.

    :param problem: empty, ``expired``, ``self-signed``, ``host name``, ``untrusted``, or
        ``no TLS``, with the reason in ``detail``.
    :param by_torchserve: whether TorchServe made it by itself, at its start.
    """

    problem: str = ""
    detail: str = ""
    by_torchserve: bool = False


def look_at(endpoint: Endpoint, authorities: Path | None, timeout: float) -> Certificate:
    """Connect as a careful client does.

    :param authorities: a file with the certificates to trust besides the system's.
    :raises OSError: if the server cannot be reached.
    """
    context = ssl.create_default_context()
    if authorities is not None:
        context.load_verify_locations(authorities)
    try:
        _connect(endpoint, context, timeout)
    except ssl.SSLCertVerificationError as error:
        own = error.verify_code == _SELF_SIGNED and _made_by_torchserve(endpoint, timeout)
        return Certificate(_problem_of(error.verify_code), error.verify_message, own)
    except ssl.SSLError as error:
        return Certificate("no TLS", str(error.reason or error))
    return Certificate()


def _problem_of(code: int) -> str:
    known = {_EXPIRED: "expired", _SELF_SIGNED: "self-signed"}
    return known.get(code, "host name" if code in (_HOST_NAME, _ADDRESS) else "untrusted")


def _connect(endpoint: Endpoint, context: ssl.SSLContext, timeout: float) -> ssl.SSLSocket:
    with (
        socket.create_connection((endpoint.host, endpoint.port), timeout) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as secure,
    ):
        return secure


def _made_by_torchserve(endpoint: Endpoint, timeout: float) -> bool:
    """Whether it is Netty's ``SelfSignedCertificate``: for localhost, until the year 9999."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((endpoint.host, endpoint.port), timeout) as plain,
        unchecked.wrap_socket(plain) as secure,
    ):
        raw = secure.getpeercert(binary_form=True) or b""
    # The name as in "CN=localhost", the end as the GeneralizedTime that DER has for such a year.
    return b"\x06\x03\x55\x04\x03\x13\x09localhost" in raw and b"\x18\x0f99991231235959Z" in raw
