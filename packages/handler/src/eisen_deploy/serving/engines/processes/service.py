"""Archives on supervised processes, as ``eisen-serve`` starts, keeps and stops them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from socket import socket

from eisen_deploy.serving.engines.keys import ServersToken

from .supervision import Supervision


class SupervisedService:
    """A :class:`~eisen_deploy.serving.engines.engine.Service`; its token stays as it is.

    :param addresses: where operators look, by what is there.
    :param listener: the socket that is closed before the processes are stopped: who connects then
        is refused, and does not wait for nothing.
    """

    def __init__(
        self,
        token: ServersToken,
        supervision: Supervision,
        addresses: Mapping[str, str],
        listener: socket | None = None,
    ) -> None:
        self._token, self._supervision, self._listener = token, supervision, listener
        self.addresses = addresses
        self.kill = supervision.kill
        self.token = token.read

    def start(self) -> None:
        """Start, and wait until every process has predicted the samples of its models."""
        self._token.make()
        self._supervision.start()

    def keep(self, started: Callable[[], None]) -> None:
        """Serve, until an exception ends it."""
        del started
        self._supervision.keep()

    def stop(self) -> None:
        """Stop all processes, once they have answered what they have begun."""
        if self._listener is not None:
            self._listener.close()
        self._supervision.stop()
        self._token.remove()
