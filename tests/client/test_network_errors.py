"""Every failure of the libraries below has a meaning of its own here."""

from __future__ import annotations

import http.client
import inspect
import socket

import pytest
import requests
import requests.exceptions
import urllib3.exceptions

from eisen_deploy.client import DeadlineExceeded, EisenClientError, TLSFailed, UnknownOutcome
from eisen_deploy.client._http import exchange as exchanges
from eisen_deploy.client._http import network_errors
from eisen_deploy.client._shared.wire import protocol
from eisen_deploy.client._waiting import deadline


def _failures_of(module, base):
    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, base) and not name.startswith("_")
    ]


OF_REQUESTS = _failures_of(requests.exceptions, requests.RequestException)
OF_URLLIB3 = _failures_of(urllib3.exceptions, urllib3.exceptions.HTTPError)
OF_HTTP = _failures_of(http.client, http.client.HTTPException)


def _exchange_that(*, connected, sent):
    exchange = exchanges.Exchange(deadline.Deadline(30), protocol.Body((b"[1]       ",), None))
    exchange.connected, exchange.sent, exchange.complete = connected, sent, sent == 10
    return exchange


def _instance(failure):
    made = failure.__new__(failure)
    made.args = ("canary",)
    return made


@pytest.mark.parametrize("failure", OF_REQUESTS, ids=lambda failure: failure.__name__)
def test_each_exception_of_requests_is_listed(failure):
    assert failure in network_errors.MEANINGS


@pytest.mark.parametrize(
    "failure", [*OF_REQUESTS, *OF_URLLIB3, *OF_HTTP, OSError], ids=lambda failure: failure.__name__
)
@pytest.mark.parametrize(
    ("connected", "sent"),
    [(False, 0), (True, 0), (True, 10)],
    ids=["connecting", "sending", "sent"],
)
def test_each_exception_becomes_an_error_of_ours(failure, connected, sent):
    assert issubclass(failure, network_errors.FAILURES)
    exchange = _exchange_that(connected=connected, sent=sent)
    error = network_errors.map_network_error(_instance(failure), exchange)
    assert isinstance(error, EisenClientError)
    assert "canary" not in str(error)
    assert not (error.retry and connected and sent == 10)
    assert error.stage == exchange.stage
    assert not error.retry or error.executed is False


def test_the_tables_of_exceptions_are_long_enough():
    assert len(OF_REQUESTS) >= 20
    assert len(OF_URLLIB3) >= 20
    assert len(OF_HTTP) >= 10


def test_the_reason_is_found_however_deep_it_is_wrapped():
    refused = ConnectionRefusedError(111, "Connection refused")
    pool = urllib3.HTTPConnectionPool("host")
    failed = urllib3.exceptions.NewConnectionError(pool, "canary")
    failed.__cause__ = refused
    outer = requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/canary", failed))
    error = network_errors.map_network_error(outer, _exchange_that(connected=False, sent=0))
    assert "Connection refused" in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (http.client.RemoteDisconnected("canary"), "(closed without an answer)"),
        (http.client.IncompleteRead(b"canary", 5), "(closed in the middle of the answer)"),
        (socket.timeout("canary"), "(timed out)"),  # noqa: UP041 - another one in 3.9
        (ConnectionResetError(104, "Connection reset by peer"), "(Connection reset by peer)"),
        (OSError("Tunnel connection failed: 403 canary"), "(it answered 403)"),
    ],
)
def test_a_failure_is_reported_in_plain_words(failure, words):
    error = network_errors.map_network_error(failure, _exchange_that(connected=True, sent=10))
    assert words in str(error)
    assert "canary" not in str(error)


def test_a_timeout_of_the_socket_at_the_deadline_is_the_deadline():
    """As urllib3 reports it where it happens while sending."""
    exchange = _exchange_that(connected=True, sent=0)
    failure = urllib3.exceptions.ProtocolError("", socket.timeout())  # noqa: UP041
    assert isinstance(network_errors.map_network_error(failure, exchange), EisenClientError)
    exchange.deadline = deadline.Deadline(0.01)
    assert isinstance(network_errors.map_network_error(failure, exchange), DeadlineExceeded)


@pytest.mark.parametrize("failure", [requests.ReadTimeout, requests.ConnectTimeout])
def test_a_timeout_long_before_the_deadline_is_the_systems_own(failure):
    exchange = _exchange_that(connected=True, sent=10)
    assert isinstance(network_errors.map_network_error(failure(), exchange), UnknownOutcome)
    exchange.deadline = deadline.Deadline(0.01)
    assert isinstance(network_errors.map_network_error(failure(), exchange), DeadlineExceeded)


def test_a_circular_chain_of_causes_ends():
    first, second = requests.ConnectionError(), requests.ConnectionError()
    first.args, second.args = (second,), (first,)
    exchange = _exchange_that(connected=True, sent=10)
    assert isinstance(network_errors.map_network_error(first, exchange), EisenClientError)


@pytest.mark.parametrize("option", ["verify", "cert"])
def test_a_missing_file_is_reported_in_words(connect, certificates, option):
    files = {"verify": str(certificates / "authority.pem"), option: "/no/such/canary.pem"}
    client = connect("https://127.0.0.1:1/predictions/m", **files)
    with pytest.raises(TLSFailed, match="cannot be used: there is no such file") as caught:
        client.get_metadata()
    assert "canary" not in str(caught.value)
