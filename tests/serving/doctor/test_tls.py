"""Certificates as a careful client sees them: real ones, on a real listener."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading

import pytest
import trustme

from eisen_deploy.serving.doctor.facts.certificate import check_certificate
from eisen_deploy.serving.engines.torchserve.calls import Endpoint

YESTERDAY = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def authorities(authority, tmp_path):
    path = tmp_path / "hospital.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def listen():
    """Listen with a certificate, or without TLS: ``listen(certificate) -> Endpoint``."""
    listeners = []

    def _listen(certificate):
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, context), daemon=True).start()
        return Endpoint("https", "127.0.0.1", listener.getsockname()[1])

    def serve(listener, context):
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain:
                try:
                    if context is None:
                        plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    else:
                        context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    pass  # the client has hung up, as it should on a bad certificate

    yield _listen
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def problem(endpoint, authorities):
    certificate = check_certificate(endpoint, authorities, 5.0)
    assert not certificate.by_torchserve
    return certificate.problem


def test_a_certificate_of_a_trusted_authority(authority, authorities, listen):
    endpoint = listen(authority.issue_cert("127.0.0.1"))
    assert problem(endpoint, authorities) == ""
    assert problem(endpoint, None) == "untrusted"


def test_another_host_and_another_time(authority, authorities, listen):
    other = listen(authority.issue_cert("other.invalid"))
    assert problem(other, authorities) == "host name"
    old = listen(authority.issue_cert("127.0.0.1", not_after=YESTERDAY))
    assert problem(old, authorities) == "expired"


def test_no_tls_at_all(authorities, listen):
    assert problem(listen(None), authorities) == "no TLS"
