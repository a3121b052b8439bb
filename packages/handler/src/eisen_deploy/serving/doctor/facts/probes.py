"""Questions to a server that need a socket: what it would take, who else reaches it."""

from __future__ import annotations

import http.client
import socket
from contextlib import suppress

from eisen_deploy.serving.engines.torchserve.calls import Endpoint
from eisen_deploy.serving.engines.torchserve.settings.known_properties import MAX_INT
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE


def takes_body(endpoint: Endpoint, count: int, timeout: float = 5.0) -> bool | None:
    """Ask whether a body of so many bytes would be taken, without sending any of it.

    Netty's ``HttpObjectAggregator``, which TorchServe gives ``max_request_size``, answers
    ``Expect: 100-continue`` with 100 or 413 by the length alone, and before it looks at a token
    (tried).

    :return: ``None`` if there is neither answer.
    """
    connection = endpoint.connect(timeout)
    try:
        connection.putrequest("POST", "/predictions/-")
        connection.putheader("Content-Length", str(count))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        status = connection.sock.recv(64).split(b" ")[1:2]
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return {b"100": True, b"413": False}.get(b"".join(status))


def find_request_limit(endpoint: Endpoint, timeout: float) -> int | None:
    """Find ``max_request_size`` by halving, with the default tried first; no body is sent."""
    taken, refused = 0, MAX_INT + 1
    guesses = iter([STOCK_SIZE, STOCK_SIZE + 1])
    while refused - taken > 1:
        middle = next(guesses, (taken + refused) // 2)
        takes = takes_body(endpoint, middle, timeout)
        if takes is None:
            return None
        taken, refused = (middle, refused) if takes else (taken, middle)
    return taken


def find_own_address() -> str | None:
    """Return the address under which other machines reach this one, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing: documentation's own network
        address: str = probe.getsockname()[0]
        return None if address.startswith("127.") else address
    return None
