"""How large a request the server takes, as far as that is known."""

from __future__ import annotations

import time
from collections.abc import Callable

from eisen_deploy.client._errors import EisenClientError, RequestTooLarge
from eisen_deploy.client._http.network_errors import describe_size
from eisen_deploy.client._shared.wire.protocol import Body

#: Seconds for which a refusal counts: somebody may raise the server's limit.
MEMORY = 60.0


class SizeLimit:
    """What sizes the server takes: a request that it would refuse is refused before it is sent.

    :param stated: largest body in bytes that the server takes, as the caller says; or ``None``.
    :param clock: returns seconds.
    """

    def __init__(self, stated: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stated = stated
        #: Bytes of the largest request that the server is known to take, by the caller or itself.
        self.taken = stated or 0
        self._clock = clock
        self._refused: tuple[int, float] | None = None

    def check(self, body: Body) -> None:
        """Raise an error for a body that is known to be too large.

        :raises RequestTooLarge: if it is.
        """
        if self._stated is not None and body.size > self._stated:
            raise _not_sent(f"max_request is {self._stated} bytes", body)
        size, until = self._refused or (0, 0.0)
        if self._clock() < until and body.size >= size:
            raise _not_sent(f"the server refused {size} bytes a moment ago", body)

    def learn(self, size: int, error: EisenClientError | None) -> None:
        """Take note of the size of a request, and of how the server answered it."""
        if error is None:
            self.taken = max(self.taken, size)
        elif isinstance(error, RequestTooLarge) and error.status == 413 and error.type is None:
            self._refused = (size, self._clock() + MEMORY)
            self.taken = min(self.taken, size - 1)


def _not_sent(why: str, body: Body) -> RequestTooLarge:
    return RequestTooLarge(f"the request was not sent: {why}; {describe_size(body)}")
