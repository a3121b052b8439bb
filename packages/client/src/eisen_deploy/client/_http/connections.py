"""The connections: those of requests and urllib3, without habits that do not suit credentials.

No redirect is followed, no cookies are kept, no credentials are taken from ``.netrc``; and a
connection can be stopped from another thread.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.request import getproxies, getproxies_environment

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL, InvalidURL
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationValueError, ProxyError

from eisen_deploy.client._logging import keep_urllib3_quiet

from .exchange import SMALL, running_exchange
from .response_parsing import StrictResponse, look_for_answer
from .system_trust import SYSTEM, make_context, require_library

_MAX_IDLE = 32


class StoppableConnection(HTTPConnection):
    """A connection that attaches itself to the running exchange."""

    #: The mark of the exchange that used it last.
    owner: object = None
    response_class = StrictResponse
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

    def request(self, *args: Any, **options: Any) -> None:
        exchange = running_exchange()
        if exchange is not None:
            exchange.attach(self)
            exchange.connected = self.sock is not None
        self._holds_next = exchange is not None and exchange.size > 0
        super().request(*args, **options)

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
            self._send(head)
        self._send(data)

    def _send(self, data: bytes | memoryview) -> None:
        exchange = running_exchange()
        if exchange is not None and exchange.connected:  # else it may be for a proxy
            look_for_answer(self.sock, exchange)
        super().send(data)

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        except HTTPException as error:
            raise ProxyError("no answer of a proxy", error) from error


class StoppableTLSConnection(StoppableConnection, HTTPSConnection):
    pass


class SystemTLSConnection(StoppableTLSConnection):
    """A connection that trusts what the operating system trusts, and nothing else."""

    def connect(self) -> None:
        self.ca_certs = self.ca_cert_dir = None  # of requests: certifi
        self.ssl_context = make_context()
        if self.proxy_config is not None:
            self.proxy_config = self.proxy_config._replace(ssl_context=make_context())
        super().connect()


_PROXIES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]
#: What requests and urllib read of the environment.
_VARIABLES = [*_PROXIES, *map(str.upper, _PROXIES)]
_VARIABLES += ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUEST_METHOD"]


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = StoppableConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = StoppableTLSConnection


class _SystemPool(HTTPSConnectionPool):
    ConnectionCls = SystemTLSConnection


class _Adapter(HTTPAdapter):
    def __init__(self, https_pool: type[HTTPSConnectionPool]) -> None:
        self._pools: dict[str, type[HTTPConnectionPool]] = {"http": _HTTPPool, "https": https_pool}
        super().__init__(pool_maxsize=_MAX_IDLE)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: object) -> urllib3.PoolManager:
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):  # those have pools of their own
            manager.pool_classes_by_scheme = self._pools
        return manager


#: How an address is reached: with which connections, and what a request line names.
Route = tuple[HTTPConnectionPool, str]


class Connections:
    """The connections to one address, safe to use from several threads at once.

    requests reads the environment and makes the pool that fits. Each request goes straight to that
    pool: what requests does around it takes longer than encoding and decoding a small one.

    :param verify: as requests takes it, like ``cert``; or :data:`~.system_trust.SYSTEM`.
    :raises ValueError: if that needs a library that is not installed.
    """

    def __init__(self, url: str, verify: bool | str, cert: str | tuple[str, str] | None) -> None:
        keep_urllib3_quiet()
        self._url = url
        self._verify = verify
        self._cert = cert
        self._is_system = verify == SYSTEM
        if self._is_system:
            require_library()
        self._adapter = _Adapter(_SystemPool if self._is_system else _HTTPSPool)
        self._known: tuple[list[str | None], Route | None] = ([], None)

    def send(
        self, body: Any, headers: Mapping[str, str], timeout: float | None
    ) -> urllib3.BaseHTTPResponse:
        """Send a request and return the response, whose body is not read.

        :param body: buffers to send one after the other, with ``Content-Length`` in the headers.
        :param timeout: seconds for connecting, and for each wait thereafter.
        """
        pool, target = self._route()
        return pool.urlopen(
            "POST",
            target,
            body=body,
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            assert_same_host=False,  # a proxy is given the whole address
            preload_content=False,
            decode_content=False,
        )

    def close(self) -> None:
        """Close the connections that no request uses; a further one opens new ones."""
        self._known = ([], None)
        self._adapter.close()

    def _route(self) -> Route:
        """Return the way to the address, found anew only if the environment has changed."""
        if getproxies is not getproxies_environment:
            return self._find_route()  # Windows and macOS have settings outside of it
        environment = [os.environ.get(name) for name in _VARIABLES]
        known, route = self._known
        if known != environment or route is None:
            route = self._find_route()
            self._known = (environment, route)
        return route

    def _find_route(self) -> Route:
        request = requests.Request("POST", self._url).prepare()
        # As of a call: the environment would win over what a session holds.
        with requests.Session() as session:
            settings = session.merge_environment_settings(
                request.url, {}, True, self._verify, self._cert
            )
        cert, proxies = settings["cert"], settings["proxies"]
        verify = self._is_system or settings["verify"]
        adapter = self._adapter
        try:
            pool: Any = adapter.get_connection_with_tls_context(request, verify, proxies, cert)
        except (LocationValueError, InvalidURL) as error:  # what is left to go wrong is the proxy's
            raise InvalidProxyURL from error
        adapter.cert_verify(pool, request.url, verify, cert)  # type: ignore[no-untyped-call]
        return pool, adapter.request_url(request, proxies)
