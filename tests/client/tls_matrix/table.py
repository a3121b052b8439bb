"""The cases: a server, a client and its environment, and exactly what comes of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.client.conftest import error, oip, reply

from eisen_deploy.client import (
    ConnectionFailed,
    DeadlineExceeded,
    EisenClientError,
    ProxyFailed,
    Redirected,
    RequestRefused,
    ServerFailed,
    TLSFailed,
    Unauthorized,
)

from .listeners import GOOD

TOKEN = "canary-token"
BEARER = f"Bearer {TOKEN}"
BASIC = "Basic " + base64.b64encode(b"us@er:pass").decode()
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TRUSTED: Mapping[str, Any] = MappingProxyType({"verify": "{ours}"})


class Case(NamedTuple):
    """One call. In texts ``{...}`` is a file of the authorities', or a port.

    :param server: what its certificate is; ``"plain"`` for none.
    :param expected: the exact class of the error, or ``None`` for a result.
    :param told: what each request at the honest server says of who asks; one without anything
        where there is a result and nothing is given.
    :param shown: whether the honest server was shown the client's certificate.
    :param proxy: its manner.
    :param behind: to whom the proxy leads: ``"honest"`` or ``"foreign"``.
    :param asked: what the proxy was asked.
    """

    name: str
    expected: type[EisenClientError] | None = None
    client: Mapping[str, Any] = _TRUSTED
    env: Mapping[str, str] = _NOTHING
    server: str = "ours"
    url: str = "https://localhost:{honest}/predictions/seg"
    answers: tuple[bytes, ...] = (GOOD,)
    told: tuple[str, ...] | None = None
    shown: bool = False
    proxy: str | bytes = "tunnel"
    behind: str = "honest"
    asked: tuple[str, ...] = ()
    method: str = "predict"
    calls: int = 1
    netrc: bool = False
    rotates: bool = False


def cases() -> Iterator[Case]:
    """Return every case."""
    yield from _trust()
    yield from _environment()
    yield from _system()
    yield from _own_certificates()
    yield from _credentials()
    yield from _expired_tokens()
    yield from _redirects()
    yield from _proxies()
    yield from _no_proxy()
    yield from _plain_proxies()


def _trust() -> Iterator[Case]:
    yield Case("trusted")
    yield Case("trusted among others", client={"verify": "{both}"})
    yield Case("trusted in a folder", client={"verify": "{hashed}"})
    yield Case("trusted by its address", url="https://127.0.0.1:{honest}/m")
    yield Case("trusted for metadata", method="get_metadata", answers=(reply(200, {}, b"{}"),))
    for verify in ("stranger", "expired"):
        yield Case(f"trusting {verify}", TLSFailed, {"verify": f"{{{verify}}}"})
    yield Case("trusting the world's", TLSFailed, {})
    for file in ("absent", "text", "nothing", "cut", "key", "folder"):
        yield Case(f"verify= of {file}", TLSFailed, {"verify": f"{{{file}}}"})
    for server in ("stranger", "expired", "of tomorrow", "of another host", "of a wildcard"):
        yield Case(f"a certificate {server}", TLSFailed, server=server)
        yield Case(f"a certificate {server}, unverified", None, {"verify": False}, server=server)
    yield Case("a certificate without an address", TLSFailed, server="of no address",
               url="https://127.0.0.1:{honest}/m")  # fmt: skip
    yield Case("a certificate of a common name", TLSFailed, server="of a common name")
    yield Case("an expired authority", TLSFailed, {"verify": "{expired}"},
               server="by an expired authority")  # fmt: skip
    yield Case("an intermediate", server="by an intermediate")
    yield Case("an intermediate left out", TLSFailed, server="without its intermediate")
    yield Case("a version of TLS that is too old", TLSFailed, server="of TLS 1.1")


def _environment() -> Iterator[Case]:
    """Which authorities count: the argument, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, certifi."""
    ours, theirs = "{ours}", "{stranger}"
    first, second = "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"
    for name in (first, second):
        yield Case(f"{name} trusts", None, {}, {name: ours})
        yield Case(f"{name} trusts, verify=True", None, {"verify": True}, {name: ours})
        yield Case(f"{name} trusts, the argument does not", TLSFailed, {"verify": theirs},
                   {name: ours})  # fmt: skip
        yield Case(f"the argument trusts, {name} does not", None, {"verify": ours}, {name: theirs})
        yield Case(f"{name} trusts a stranger", TLSFailed, {}, {name: theirs})
        yield Case(f"{name} is absent", TLSFailed, {}, {name: "{absent}"})
        yield Case(f"{name} is text", TLSFailed, {}, {name: "{text}"})
        yield Case(f"{name} is empty", TLSFailed, {}, {name: ""})
        yield Case(f"verify=False, {name} does not", None, {"verify": False}, {name: theirs})
    yield Case("both, the first trusts", None, {}, {first: ours, second: theirs})
    yield Case("both, the second trusts", TLSFailed, {}, {first: theirs, second: ours})
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "requests_ca_bundle", "CA_BUNDLE"):
        yield Case(f"{name} is not looked at", TLSFailed, {}, {name: ours})


def _system() -> Iterator[Case]:
    """The operating system's authorities, of which OpenSSL's variables are a part on Linux."""
    system, ours, theirs = {"verify": "system"}, {"SSL_CERT_FILE": "{ours}"}, "{stranger}"
    for version in ("1.2", "1.3"):
        yield Case(f"the system trusts, with TLS {version}, a certificate", None,
                   {**system, "cert": "{own}"}, ours, f"asks by TLS {version}",
                   shown=True)  # fmt: skip
    yield Case("the system trusts", None, system, ours)
    yield Case("the system trusts an intermediate", None, system, ours, "by an intermediate")
    yield Case("the system does not", TLSFailed, system, {"SSL_CERT_FILE": theirs})
    for server in ("expired", "of another host"):
        yield Case(f"the system trusts, a certificate {server}", TLSFailed, system, ours, server)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        yield Case(f"the system trusts, {name} does not", None, system, {**ours, name: theirs})
        yield Case(f"the system does not, {name} trusts", TLSFailed, system,
                   {"SSL_CERT_FILE": theirs, name: "{ours}"})  # fmt: skip
        yield Case(f"the system trusts, {name} is absent", None, system, {**ours, name: "{absent}"})
    tunnel = {"url": _BEHIND, "asked": ("CONNECT -",)}
    for name, proxy in (("a proxy", _VIA), ("a proxy with TLS", "https://localhost:{tls_proxy}")):
        yield Case(f"the system trusts, through {name}", None, system,
                   {**ours, "HTTPS_PROXY": proxy}, **tunnel)  # fmt: skip
    yield Case("the system does not trust a proxy", TLSFailed, system,
               {"SSL_CERT_FILE": theirs, "HTTPS_PROXY": proxy}, url=_BEHIND)  # fmt: skip


def _own_certificates() -> Iterator[Case]:
    pair = ("{own_certificate}", "{own_key}")
    for server in ("asks by TLS 1.2", "asks by TLS 1.3"):
        for name, cert in (("a certificate", "{own}"), ("certificate and key", pair)):
            client = {**_TRUSTED, "cert": cert}
            yield Case(f"{server}: {name}", None, client, server=server, shown=True)
        yield Case(f"{server}: none", TLSFailed, server=server)
        for name in ("own_stranger", "own_expired"):
            client = {**_TRUSTED, "cert": f"{{{name}}}"}
            yield Case(f"{server}: {name}", TLSFailed, client, server=server)
        client = {"verify": "{stranger}", "cert": "{own}"}
        yield Case(f"{server}: not trusted, shown nothing", TLSFailed, client, server=server)
    bad: dict[str, Any] = {
        "absent": "{absent}",
        "text": "{text}",
        "without a key": "{own_certificate}",
        "with another key": ("{own_certificate}", "{own_other_key}"),
        "with an absent key": ("{own_certificate}", "{absent}"),
    }
    for name, cert in bad.items():
        yield Case(f"cert= {name}", TLSFailed, {**_TRUSTED, "cert": cert})
    server = "asks and does not insist"
    yield Case(f"{server}: none", server=server)
    client = {**_TRUSTED, "cert": "{own}"}
    yield Case(f"{server}: a certificate", None, client, server=server, shown=True)
    yield Case("a certificate not asked for", None, client)


def _with(token: Any = TOKEN, **more: Any) -> dict[str, Any]:
    return {**_TRUSTED, "token": token, **more}


def _credentials() -> Iterator[Case]:
    user = "https://us%40er:pass@localhost:{honest}/m"
    yield Case("a token", client=_with(), told=(BEARER,))
    yield Case("a token of a function", client=_with(lambda: TOKEN), told=(BEARER,))
    yield Case("a token of a file", client=_with(Path("{token}")), told=(BEARER,))
    yield Case("a user", url=user, told=(BASIC,))
    yield Case("a token to a stranger", TLSFailed, {"token": TOKEN, "verify": "{stranger}"})
    yield Case("a user to a stranger", TLSFailed, {"verify": "{stranger}"}, url=user)
    yield Case("netrc", netrc=True)
    yield Case("netrc and a token", client=_with(), told=(BEARER,), netrc=True)
    yield Case("netrc and a user", url=user, told=(BASIC,), netrc=True)
    yield Case("netrc where no token is taken", Unauthorized, answers=(reply(401),), told=("-",),
               netrc=True)  # fmt: skip
    yield Case("netrc for metadata", netrc=True, method="get_metadata",
               answers=(reply(200, {}, b"{}"),))  # fmt: skip
    plain = "http://localhost:{honest}/m"
    yield Case("netrc without TLS", client=_NOTHING, server="plain", url=plain, netrc=True)
    cookie = oip({"y": 1}, {"Set-Cookie": "id=canary; Path=/"})
    yield Case("cookies", client=_with(), answers=(cookie,), told=(BEARER,) * 3, calls=3)
    asks = {"WWW-Authenticate": "Basic realm=x"}
    yield Case("asked for a password", Unauthorized, _with(), answers=(reply(401, asks),),
               told=(BEARER,), netrc=True)  # fmt: skip


def _expired_tokens() -> Iterator[Case]:
    expired = error(400, "InvalidKeyException", "Token expired.")
    for name, answer in (("expired", expired), ("401", reply(401))):
        refused, again = (answer,), (answer, GOOD)
        yield Case(f"{name}: a token", Unauthorized, _with(), answers=again, told=(BEARER,))
        for kind, token in (("function", lambda: TOKEN), ("file", Path("{token}"))):
            client = _with(token)
            yield Case(f"{name}: a {kind}, which helps", None, client, answers=again,
                       told=(BEARER,) * 2)  # fmt: skip
            yield Case(f"{name}: a {kind}, in vain", Unauthorized, client, answers=refused,
                       told=(BEARER,) * 2)  # fmt: skip
        yield Case(f"{name}: a file that was renewed", None, _with(Path("{token}")),
                   answers=again, told=(BEARER, "Bearer renewed"), rotates=True)  # fmt: skip
        yield Case(f"{name}: no token", Unauthorized, answers=again, told=("-",))
    forbidden = (reply(403), GOOD)
    yield Case("403: a file", Unauthorized, _with(Path("{token}")), answers=forbidden,
               told=(BEARER,))  # fmt: skip


_ELSEWHERE = {
    "the same place": "https://localhost:{honest}/predictions/seg",
    "another path": "/other",
    "another port": "https://localhost:{foreign}/m",
    "another host": "https://127.0.0.1:{foreign}/m",
    "another scheme": "http://localhost:{plain}/m",
    "another host and scheme": "http://127.0.0.1:{plain}/m",
    "a user": "https://other:canary@localhost:{foreign}/m",
}


def _redirects() -> Iterator[Case]:
    """Nobody is asked but the one address, whatever a server says."""
    client = _with(cert="{own}")
    for status in (301, 302, 303, 307, 308):
        for name, where in _ELSEWHERE.items():
            page = reply(status, {"Location": where, "Set-Cookie": "id=canary"})
            yield Case(f"{status} to {name}", Redirected, client, answers=(page,), told=(BEARER,))
    page = reply(307, {"Location": "https://localhost:{foreign}/m"})
    plain = "http://localhost:{honest}/m"
    yield Case("307 from plain to TLS", Redirected, _with(), server="plain", url=plain,
               answers=(page,), told=(BEARER,))  # fmt: skip
    user = "https://us%40er:pass@localhost:{honest}/m"
    yield Case("307 with a user", Redirected, url=user, answers=(page,), told=(BASIC,))
    yield Case("307 for metadata", Redirected, _with(), answers=(page,), told=(BEARER,),
               method="get_metadata")  # fmt: skip
    yield Case("307 with netrc", Redirected, answers=(page,), told=("-",), netrc=True)
    yield Case("307 with a certificate", Redirected, client, server="asks by TLS 1.3",
               answers=(page,), told=(BEARER,), shown=True)  # fmt: skip


_BEHIND = "https://model.invalid/predictions/seg"
_VIA = "http://127.0.0.1:{proxy}"
_NO = "Content-Length: 0\r\n\r\n"


def _proxies() -> Iterator[Case]:
    """TLS through a tunnel: the proxy learns the host, and its own password."""
    tunnel = {"url": _BEHIND, "asked": ("CONNECT -",)}
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        yield Case(f"{name}", None, _with(), {name: _VIA}, told=(BEARER,), **tunnel)
    yield Case("a proxy without a scheme", None, _with(), {"HTTPS_PROXY": "127.0.0.1:{proxy}"},
               told=(BEARER,), **tunnel)  # fmt: skip
    yield Case("HTTP_PROXY is not for https", None, _with(), {"HTTP_PROXY": _VIA}, told=(BEARER,))
    yield Case("lower case first", None, _with(), told=(BEARER,), **tunnel,
               env={"https_proxy": _VIA, "HTTPS_PROXY": "http://127.0.0.1:9"})  # fmt: skip
    yield Case("HTTPS_PROXY before ALL_PROXY", None, _with(), told=(BEARER,), **tunnel,
               env={"HTTPS_PROXY": _VIA, "ALL_PROXY": "http://127.0.0.1:9"})  # fmt: skip
    yield Case("an empty HTTPS_PROXY", None, _with(), {"HTTPS_PROXY": ""}, told=(BEARER,))
    environment = {"HTTPS_PROXY": _VIA}
    client = _with(cert="{own}")
    yield Case("a certificate through a proxy", None, client, environment, told=(BEARER,),
               server="asks by TLS 1.3", shown=True, **tunnel)  # fmt: skip
    yield Case("a proxy and netrc", None, _TRUSTED, environment, netrc=True, **tunnel)
    yield Case("a proxy and REQUESTS_CA_BUNDLE", None, {"token": TOKEN}, told=(BEARER,), **tunnel,
               env={**environment, "REQUESTS_CA_BUNDLE": "{ours}"})  # fmt: skip
    yield Case("a proxy that shows a stranger's certificate", TLSFailed, client, environment,
               behind="foreign", **tunnel)  # fmt: skip
    yield Case("a redirect behind a proxy", Redirected, client, environment, told=(BEARER,),
               answers=(reply(307, {"Location": "https://127.0.0.1:{foreign}/m"}),),
               **tunnel)  # fmt: skip
    yield from _proxies_with_passwords()
    yield from _proxies_that_fail()
    yield from _proxies_with_tls()


def _proxies_with_passwords() -> Iterator[Case]:
    manner = "wants a password"
    for name, user, expected, told in (
        ("right", "us%40er:pass@", None, BASIC),
        ("wrong", "us%40er:wrong@", ProxyFailed,
         "Basic " + base64.b64encode(b"us@er:wrong").decode()),
        ("none", "", ProxyFailed, "-"),
    ):  # fmt: skip
        yield Case(
            f"the proxy's password: {name}",
            expected,
            _with(),
            {"HTTPS_PROXY": f"http://{user}127.0.0.1:{{proxy}}"},
            url=_BEHIND,
            told=(BEARER,) if expected is None else (),
            proxy=manner,
            asked=(f"CONNECT {told}",),
        )
    yield Case("the proxy's password: in netrc", ProxyFailed, _with(), {"HTTPS_PROXY": _VIA},
               url=_BEHIND, proxy=manner, netrc=True, asked=("CONNECT -",))  # fmt: skip


def _proxies_that_fail() -> Iterator[Case]:
    environment = {"HTTPS_PROXY": _VIA}
    manners: dict[str, tuple[str | bytes, type[EisenClientError]]] = {
        "403": (f"HTTP/1.1 403 x\r\n{_NO}".encode(), ProxyFailed),
        "407": (f"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n{_NO}".encode(), ProxyFailed),
        "500": (f"HTTP/1.1 500 x\r\n{_NO}".encode(), ProxyFailed),
        "502 and a page": (reply(502, {}, b"<html>"), ProxyFailed),
        "503": (f"HTTP/1.1 503 x\r\n{_NO}".encode(), ProxyFailed),
        "504": (f"HTTP/1.1 504 x\r\n{_NO}".encode(), ProxyFailed),
        "a redirect": (
            b"HTTP/1.1 302 x\r\nLocation: https://localhost:{foreign}/\r\n" + _NO.encode(),
            ProxyFailed,
        ),
        "200 and no TLS": (b"HTTP/1.1 200 x\r\n\r\nhello hello hello", TLSFailed),
        "garbage": (b"\x00\xff garbage\r\n\r\n", ProxyFailed),
        "a page": (b"<html>log in</html>\r\n\r\n", ProxyFailed),
        "nothing": (b"", ProxyFailed),
        "silence": ("is silent", DeadlineExceeded),
    }
    for name, (manner, expected) in manners.items():
        yield Case(f"a proxy that answers {name}", expected, _with(timeout=0.4 if manner ==
                   "is silent" else 5), environment, url=_BEHIND, proxy=manner,
                   asked=("CONNECT -",))  # fmt: skip
    for name, where in (
        ("that is not there", "http://127.0.0.1:9"),
        ("of no such host", "http://no-such-host.invalid:1"),
        ("without a host", "http://"),
        ("with an empty label", "http://proxy..invalid:1"),
        ("with a label that is too long", f"http://{'x' * 64}.invalid:1"),
    ):
        yield Case(f"a proxy {name}", ProxyFailed, _with(), {"HTTPS_PROXY": where}, url=_BEHIND)
    for where in (*(f"{name}://127.0.0.1:9" for name in ("socks5", "socks5h", "socks4", "ftp")),
                  "http://127.0.0.1:99999"):  # fmt: skip
        yield Case(f"a proxy at {where}", ProxyFailed, _with(), {"HTTPS_PROXY": where}, url=_BEHIND)


def _proxies_with_tls() -> Iterator[Case]:
    environment = {"HTTPS_PROXY": "https://localhost:{tls_proxy}"}
    yield Case("a proxy with TLS", None, _with(), environment, url=_BEHIND, told=(BEARER,),
               asked=("CONNECT -",))  # fmt: skip
    yield Case("a proxy with TLS, not trusted", TLSFailed, _with(verify="{stranger}"), environment,
               url=_BEHIND)  # fmt: skip


def _no_proxy() -> Iterator[Case]:
    """Hosts to reach without the proxy, whose address leads nowhere."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9"}
    for hosts in ("localhost", "other,localhost", " localhost ", "localhost:{honest}", "*"):
        for name in ("NO_PROXY", "no_proxy"):
            environment = {**nowhere, name: hosts}
            yield Case(f"{name}={hosts!r}", None, _with(), environment, told=(BEARER,))
    address = "https://127.0.0.1:{honest}/m"
    for hosts in ("127.0.0.1", "127.0.0.0/8"):
        yield Case(f"NO_PROXY={hosts!r} for an address", None, _with(),
                   {**nowhere, "NO_PROXY": hosts}, url=address, told=(BEARER,))  # fmt: skip
    for hosts in ("127.0.0.1", "example.invalid", "localhost.invalid", ""):
        yield Case(f"NO_PROXY={hosts!r}, not for it", ProxyFailed, _with(),
                   {**nowhere, "NO_PROXY": hosts})  # fmt: skip


def _plain_proxies() -> Iterator[Case]:
    """Without TLS the proxy sees all; its own password still goes no further."""
    plain = {"server": "plain", "url": "http://model.invalid/m"}
    client = {"token": TOKEN}
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        yield Case(f"{name}, plain", None, client, {name: _VIA}, told=(BEARER,),
                   asked=("POST -",), **plain)  # fmt: skip
    password = {"HTTP_PROXY": "http://us%40er:pass@127.0.0.1:{proxy}"}
    yield Case("the proxy's password, plain", None, client, password, told=(BEARER,),
               proxy="wants a password", asked=(f"POST {BASIC}",), **plain)  # fmt: skip
    for name, environment, netrc in (("none", {"HTTP_PROXY": _VIA}, False),
                                     ("in netrc", {"HTTP_PROXY": _VIA}, True)):  # fmt: skip
        yield Case(f"the proxy's password, plain: {name}", ProxyFailed, client, environment,
                   proxy="wants a password", asked=("POST -",), netrc=netrc, **plain)  # fmt: skip
    for status, expected in ((502, ServerFailed), (403, Unauthorized), (451, RequestRefused)):
        page = reply(status, {"Content-Type": "text/html"}, b"<html>")
        yield Case(f"a proxy that answers {status}, plain", expected, client,
                   {"HTTP_PROXY": _VIA}, proxy=page, asked=("POST -",), **plain)  # fmt: skip
    nowhere = {"server": "plain", "url": "http://127.0.0.1:9/m"}
    yield Case("no server and no proxy", ConnectionFailed, client, **nowhere)
