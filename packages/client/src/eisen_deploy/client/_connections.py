"""The session: requests' own, with the habits taken away that do not suit credentials.

It never follows a redirect, keeps no cookies, takes no credentials from ``.netrc``, and its
connections can be stopped from another thread.
"""

from __future__ import annotations

import os
from http.client import HTTPException, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, getproxies_environment

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ProxyError

from ._exchange import SMALL, running_exchange
from ._logging import keep_urllib3_quiet

_MAX_IDLE = 32

if TYPE_CHECKING:
    _Connection = HTTPConnection
else:
    _Connection = object


class _Response(HTTPResponse):
    """A response that refuses chunks of a negative size: http.client reads them without bounds."""

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            raise HTTPException("a chunk has a negative size")
        return size


class _Stoppable(_Connection):
    """A connection that tells the running exchange of itself."""

    #: The mark of the exchange that used it last.
    owner: object = None
    response_class = _Response
    #: The headers that wait for the start of their body.
    _head = b""
    _holds_next = False

    def connect(self) -> None:
        exchange = running_exchange()
        if exchange is not None:
            exchange.attach(self)
        super().connect()
        if exchange is not None:
            exchange.connected = True
            exchange.check()

    def request(self, *args: Any, **kwargs: Any) -> None:
        exchange = running_exchange()
        if exchange is not None:
            exchange.attach(self)
            if self.sock is not None:
                exchange.connected = True
                # urllib3 1.26 would send under the timeout of the request before.
                self.sock.settimeout(self.timeout)
        super().request(*args, **kwargs)

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        exchange = running_exchange()
        self._head = b""  # of a request that failed before its body
        self._holds_next = exchange is not None and exchange.size > 0
        super().endheaders(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self._holds_next:
            self._holds_next = False
            if self.sock is None:
                self.connect()
            self._head = data  # one packet for a small request: each wakes the server up
            return
        head, self._head = self._head, b""
        if head and len(data) <= SMALL:
            data = b"".join([head, data])
        elif head:
            super().send(head)
        super().send(data)

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        except HTTPException as error:
            raise ProxyError("no answer of a proxy", error) from error


class _StoppableHTTP(_Stoppable, HTTPConnection):
    pass


class _StoppableHTTPS(_Stoppable, HTTPSConnection):
    pass


#: What requests and urllib read of the environment.
_VARIABLES = [
    *(f"{name}_proxy" for name in ("http", "https", "all", "no")),
    *(f"{name}_PROXY" for name in ("HTTP", "HTTPS", "ALL", "NO")),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUEST_METHOD"),
]


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _StoppableHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _StoppableHTTPS


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # those have pools of their own
            manager.pool_classes_by_scheme = _POOLS
        return manager


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self._settings: tuple[Any, Any] = (None, None)

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Return the settings of a call, with what the environment says.

        It is read again only if it has changed: requests goes through all of it twice for each
        call, which takes longer than to encode and decode a small one.
        """
        call = (url, proxies, stream, verify, cert)
        if getproxies is not getproxies_environment:  # Windows and macOS have settings of their own
            return super().merge_environment_settings(*call)
        read = (repr(call), *map(os.environ.get, _VARIABLES))
        if self._settings[0] != read:
            self._settings = (read, super().merge_environment_settings(*call))
        settings = self._settings[1]
        return {**settings, "proxies": dict(settings["proxies"])}

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target: requests would read the body and prepare the next request."""


def open_session() -> requests.Session:
    """Return a new session."""
    keep_urllib3_quiet()
    session = _Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_maxsize=_MAX_IDLE))
    return session
