"""The certificate of a server, and what is wrong with it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from eisen_deploy.serving.engines.torchserve.calls import Endpoint

_SELF_SIGNED = 18
# By OpenSSL's X509_V_ERR_...
_PROBLEMS = {10: "expired", _SELF_SIGNED: "self-signed", 62: "host name", 64: "host name"}


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


def check_certificate(endpoint: Endpoint, authorities: Path | None, timeout: float) -> Certificate:
    """Connect as a careful client does, and return what it would say.

    :param authorities: a file with the certificates to trust besides the system's.
    :raises OSError: if the server cannot be reached.
    """
    context = ssl.create_default_context()
    if authorities is not None:
        context.load_verify_locations(authorities)
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.host),
        ):
            return Certificate()
    except ssl.SSLCertVerificationError as error:
        own = error.verify_code == _SELF_SIGNED and _is_made_by_torchserve(endpoint, timeout)
        problem = _PROBLEMS.get(error.verify_code, "untrusted")
        made = "TorchServe made it by itself, for localhost"
        return Certificate(problem, made if own else error.verify_message, own)
    except ssl.SSLError as error:
        return Certificate("no TLS", str(error.reason or error))


def _is_made_by_torchserve(endpoint: Endpoint, timeout: float) -> bool:
    """Whether it is Netty's ``SelfSignedCertificate``: for localhost, until the year 9999."""
    text = ssl.get_server_certificate((endpoint.host, endpoint.port), timeout=timeout)
    raw = ssl.PEM_cert_to_DER_cert(text)
    # The name as in "CN=localhost", the end as the GeneralizedTime that DER has for such a year.
    return b"\x06\x03\x55\x04\x03\x13\x09localhost" in raw and b"\x18\x0f99991231235959Z" in raw
