"""The error of ours for each failure of requests, urllib3, http.client and the system.

The same exception means different things before and after the request was sent, so each is read
together with how far the exchange had got. Their texts are not passed on: they hold the URL's
query and pieces of what the server sent.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected

import requests.exceptions as requests_errors
import urllib3.exceptions as urllib3_errors

from eisen_deploy.client import _errors as errors
from eisen_deploy.client._call.input_summaries import show_size, summarise_inputs
from eisen_deploy.client._shared.wire.protocol import Body
from eisen_deploy.client._waiting.deadline import CancelRequested, Expired, Stopped

from .exchange import Exchange
from .root_causes import describe_cause, find_root_cause, forget_frames

#: No server's or proxy's usual limit is lower, so a smaller request was cut off by something else.
_SUSPICIOUS_BYTES = 2**20
#: A message names no more inputs than that.
_MAX_LISTED = 8
#: Seconds by which a socket's timeout may end before the deadline from which it was computed.
_CLOCK_SLACK = 0.1
#: In the reasons of the alerts by which a server refuses a client's certificate.
_CERTIFICATE_WORDS = ("CERTIFICATE", "UNKNOWN_CA")
#: In the reasons of OpenSSL for not reading a file.
_FILE_WORDS = ("PEM", "X509", "KEY_VALUES_MISMATCH", "NO_CERTIFICATE_OR_CRL_FOUND")
#: In what OpenSSL says of an answer that is not TLS, from version 1.0.2 to 3.5.
_NOT_TLS = ("wrong version number", "unknown protocol", "record layer failure", "http request")
#: What TLS answers to a plain request: an alert, or another record.
_TLS_RECORD = re.compile("[\x14-\x17]\x03")
USE_HTTPS = "use https:// in the address"
_FILES_ADVICE = (
    "check the files that verify=, cert= or REQUESTS_CA_BUNDLE name: each has to be there and in "
    "the PEM format, and the key of cert= has to belong to its certificate"
)


def map_network_error(error: Exception, exchange: Exchange) -> errors.EisenClientError:
    """Return the public error for one of :data:`FAILURES`."""
    meaning = next(MEANINGS[base] for base in type(error).__mro__ if base in MEANINGS)
    meant = meaning(error, exchange)
    meant.stage = exchange.stage
    forget_frames(error)
    return meant


def _map_deadline(_: Exception, exchange: Exchange) -> errors.EisenClientError:
    return errors.DeadlineExceeded(
        f"no whole reply within {exchange.deadline.seconds:g} s, given up {exchange.progress}",
        **_whether_executed(exchange),
    )


def _map_cancelled(_: Exception, exchange: Exchange) -> errors.EisenClientError:
    facts = _whether_executed(exchange)
    outcome = "nothing was" if facts["retry"] else "the request may have been"
    return errors.Cancelled(f"cancelled {exchange.progress}: {outcome} executed", **facts)


def _whether_executed(exchange: Exchange) -> dict[str, bool | None]:
    return {"executed": exchange.executed, "retry": exchange.executed is False}


def _map_timeout(error: Exception, exchange: Exchange) -> errors.EisenClientError:
    # Long before the deadline it is not ours: the system itself gives a dead connection up.
    return (_map_deadline if _is_over(exchange) else _map_broken)(error, exchange)


def _is_over(exchange: Exchange) -> bool:
    remaining = exchange.deadline.remaining
    return remaining is not None and remaining < _CLOCK_SLACK


def _map_broken(error: Exception, exchange: Exchange) -> errors.EisenClientError:
    root = find_root_cause(error)
    if isinstance(root, socket.timeout) and _is_over(exchange):
        return _map_deadline(error, exchange)  # while sending, urllib3 does not call it a timeout
    if not exchange.connected:
        return errors.ConnectionFailed(f"no connection: {describe_cause(root)}; nothing was sent")
    is_cut_off = isinstance(root, (IncompleteRead, RemoteDisconnected))
    if isinstance(root, HTTPException) and not is_cut_off:
        if isinstance(root, BadStatusLine) and _TLS_RECORD.match(getattr(root, "line", "")):
            return errors.MalformedReply(
                "the server speaks TLS at this port, not plain HTTP",
                executed=False,
                advice=USE_HTTPS,
            )
        return errors.MalformedReply(
            f"the answer is not HTTP, or its headers are too large ({type(root).__name__})"
        )
    if exchange.sent < exchange.size:
        return _map_cut_off(root, exchange)
    return errors.UnknownOutcome(
        f"the connection broke {exchange.progress} ({describe_cause(root)}): "
        "the request may have been executed"
    )


def _map_cut_off(root: BaseException, exchange: Exchange) -> errors.EisenClientError:
    what = f"the connection broke {exchange.progress} ({describe_cause(root)})"
    if exchange.fits or exchange.size < _SUSPICIOUS_BYTES:
        return errors.ConnectionFailed(f"{what}; nothing was executed")
    return errors.RequestTooLarge(
        f"{what}, as it does where a request is larger than a server or a proxy takes: "
        f"{describe_size(exchange.body)}"
    )


def describe_size(body: Body) -> str:
    """Return how large a request is, input by input."""
    listed = [f"{name} {show_size(item.size)}" for name, item in summarise_inputs(body).items()]
    if len(listed) > _MAX_LISTED:
        listed = [*listed[:_MAX_LISTED], f"{len(listed) - _MAX_LISTED} more"]
    of_what = f" ({', '.join(listed)})" if listed else ""
    return f"it has {body.size} bytes, {show_size(body.size)}{of_what}"


def _map_tls(error: Exception, exchange: Exchange) -> errors.EisenClientError:
    root = find_root_cause(error)
    # TLS 1.3 refuses a client's certificate only after the handshake.
    about_us = any(word in (getattr(root, "reason", None) or "") for word in _CERTIFICATE_WORDS)
    if exchange.connected and not about_us:
        return _map_broken(error, exchange)
    # Where Python is built with LibreSSL, urllib3 compares the names, with a class of its own.
    if isinstance(root, ssl.SSLCertVerificationError) or type(root).__name__ == "CertificateError":
        reason = getattr(root, "verify_message", "") or "it is not for this host"
        return errors.TLSFailed(
            f"the server's certificate is not trusted: {reason}",
            advice="verify= takes the file of the certificate authority to trust",
        )
    message = f"TLS failed {exchange.progress}: {describe_cause(root)}"
    if any(word in message for word in _FILE_WORDS):
        return errors.TLSFailed(message, advice=_FILES_ADVICE)
    if _lacks_tls(root):
        return _map_missing_tls("server", "its address", exchange)
    return errors.TLSFailed(message)


def _lacks_tls(error: BaseException) -> bool:
    return any(words in str(error).lower() for words in _NOT_TLS)


def _map_missing_tls(who: str, where: str, exchange: Exchange) -> errors.EisenClientError:
    return errors.TLSFailed(
        f"TLS failed {exchange.progress}: the {who} does not speak TLS at this port, but probably "
        "plain HTTP",
        advice=f"use http:// in {where}, or the port at which it speaks TLS",
    )


def _map_proxy(error: Exception, exchange: Exchange) -> errors.EisenClientError:
    root = find_root_cause(error)
    if isinstance(root, ssl.SSLError):
        if _lacks_tls(root):
            return _map_missing_tls("proxy", "HTTPS_PROXY", exchange)
        return _map_tls(error, exchange)
    return errors.ProxyFailed(f"the proxy could not be used: {describe_cause(root)}")


def _map_bad_proxy(_: Exception, __: Exchange) -> errors.EisenClientError:
    return errors.ProxyFailed("the proxy's address cannot be used")


def _map_bad_url(error: Exception, exchange: Exchange) -> errors.EisenClientError:
    if exchange.uses_proxy:  # a host is looked at only when it is looked up
        return _map_bad_proxy(error, exchange)
    return errors.InvalidURL("the address cannot be used")


def _map_bad_http(error: Exception, __: Exchange) -> errors.EisenClientError:
    return errors.MalformedReply(f"the answer breaks the rules of HTTP ({type(error).__name__})")


def _map_system(error: Exception, exchange: Exchange) -> errors.EisenClientError:
    if exchange.connected:
        return _map_broken(error, exchange)
    return errors.TLSFailed(
        "a file that verify=, cert= or REQUESTS_CA_BUNDLE names cannot be used: "
        f"{getattr(error, 'strerror', None) or 'there is no such file'}",  # requests itself looks
        advice=_FILES_ADVICE,
    )


#: Each failure and what it means; one that is not listed means what its nearest base means.
MEANINGS: dict[type, Callable[[Exception, Exchange], errors.EisenClientError]] = {
    Expired: _map_deadline,
    CancelRequested: _map_cancelled,
    Stopped: _map_cancelled,
    requests_errors.RequestException: _map_broken,
    requests_errors.ConnectionError: _map_broken,
    requests_errors.ChunkedEncodingError: _map_broken,
    requests_errors.RetryError: _map_broken,
    requests_errors.UnrewindableBodyError: _map_broken,
    requests_errors.Timeout: _map_timeout,
    requests_errors.ConnectTimeout: _map_timeout,
    requests_errors.ReadTimeout: _map_timeout,
    requests_errors.ProxyError: _map_proxy,
    requests_errors.InvalidProxyURL: _map_bad_proxy,
    requests_errors.SSLError: _map_tls,
    requests_errors.InvalidURL: _map_bad_url,
    requests_errors.InvalidSchema: _map_bad_proxy,  # ours is http or https
    requests_errors.MissingSchema: _map_bad_url,
    requests_errors.URLRequired: _map_bad_url,
    requests_errors.ContentDecodingError: _map_bad_http,
    requests_errors.HTTPError: _map_bad_http,
    requests_errors.InvalidHeader: _map_bad_http,
    requests_errors.InvalidJSONError: _map_bad_http,
    requests_errors.JSONDecodeError: _map_bad_http,
    requests_errors.StreamConsumedError: _map_bad_http,
    requests_errors.TooManyRedirects: _map_bad_http,
    urllib3_errors.HTTPError: _map_broken,
    urllib3_errors.TimeoutError: _map_timeout,
    urllib3_errors.NewConnectionError: _map_broken,  # a timeout to urllib3
    urllib3_errors.ProxyError: _map_proxy,
    urllib3_errors.SSLError: _map_tls,
    urllib3_errors.LocationValueError: _map_bad_url,
    urllib3_errors.DecodeError: _map_bad_http,
    urllib3_errors.InvalidHeader: _map_bad_http,
    HTTPException: _map_broken,
    OSError: _map_system,
}

#: What :func:`map_network_error` explains.
FAILURES = (Stopped, urllib3_errors.HTTPError, HTTPException, OSError)
