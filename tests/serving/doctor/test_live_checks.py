"""Checks of a running server on what real ones answered, where a real one cannot be had at will."""

from __future__ import annotations

import dataclasses
import http.server
import json
import threading

import pytest

from eisen_deploy.serving.doctor import ERROR, WARNING, examine_server
from eisen_deploy.serving.doctor.checks import running_server
from eisen_deploy.serving.doctor.facts.certificate import Certificate
from eisen_deploy.serving.doctor.facts.running_server import Model, RunningServer
from eisen_deploy.serving.engines.torchserve.calls import Answer, Endpoint, Worker

LOCAL, FAR = Endpoint("http", "127.0.0.1", 8080), Endpoint("http", "10.1.2.3", 8080)
REFUSED = Answer(400, b'{"code": 400, "type": "InvalidKeyException", "message": "..."}')
HEALTHY = Answer(200, b'{"status": "Healthy"}')
LISTED = Answer(200, b'{"models": []}')
DECLARED = {"inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 1000, 1000]}]}
METADATA = Answer(200, json.dumps(DECLARED).encode())


def worker(status="READY", pid=7):
    return Worker("9000", status, pid)


MODEL = Model("seg", METADATA, ((worker(),), (worker(),)))
GOOD = RunningServer(
    LOCAL,
    REFUSED,
    HEALTHY,
    None,
    LOCAL.beside(8081),
    REFUSED,
    LOCAL.beside(8082),
    Answer(200, b"# HELP"),
    {},
    300_000_000,
    "0.12.0",
    (MODEL,),
)


def found(**changes):
    server = dataclasses.replace(GOOD, **changes)
    return {
        finding.name: finding.severity
        for check in running_server.AREA.checks
        for finding in check.findings(server)
    }


def model(**changes):
    return {"models": (dataclasses.replace(MODEL, **changes),)}


OUTSIDE = dict.fromkeys(["/ping", "/models", "/metrics"], FAR)
FOUND = {
    "unreachable": (ERROR, {"answer": Answer(0, reason="Connection refused")}),
    "no-torchserve": (ERROR, {"answer": Answer(200, b"<html>"), "version": ""}),
    "tls-distrusted": (WARNING, {"certificate": Certificate("untrusted", "unable to get issuer")}),
    "inference-open": (ERROR, {"endpoint": FAR, "answer": HEALTHY}),
    "clear-text": (WARNING, {"endpoint": FAR}),
    "management-open": (WARNING, {"endpoint": FAR}),
    "metrics-open": (WARNING, {"outside": OUTSIDE}),
    "token-refused": (ERROR, {"with_token": REFUSED}),
    "torchserve-untried": (WARNING, {"version": "0.8.1"}),
    "ping-unhealthy": (ERROR, {"with_token": Answer(500, b'{"status": "Unhealthy"}')}),
    "worker-missing": (ERROR, model(looks=((worker("UNLOADING"),),))),
    "worker-restarts": (ERROR, model(looks=((worker(pid=7),), (worker(pid=8),)))),
    "model-silent": (ERROR, model(answer=Answer(0, reason="no answer in 5 s"))),
    "request-limit-stock": (WARNING, {"limit": 6_553_500}),
    "request-limit-too-small": (ERROR, {"limit": 3_999_999}),
}


def test_a_good_server_has_no_findings():
    assert found() == {}


@pytest.mark.parametrize("name", FOUND)
def test_it_is_found(name):
    severity, changes = FOUND[name]
    assert found(**changes)[name] == severity


def test_every_check_has_a_case():
    assert {check.name for check in running_server.AREA.checks} == FOUND.keys()


@pytest.mark.parametrize(
    ("certificate", "severity"),
    [
        (Certificate("self-signed", "self-signed certificate", by_torchserve=True), ERROR),
        (Certificate("self-signed", "self-signed certificate"), WARNING),
        (Certificate("expired", "certificate has expired"), ERROR),
        (Certificate("host name", "Hostname mismatch"), WARNING),
        (Certificate(), None),
    ],
)
def test_certificates(certificate, severity):
    assert found(certificate=certificate).get("tls-distrusted") == severity


def test_open_is_found_on_the_network_only():
    assert "inference-open" not in found(answer=HEALTHY)
    assert found(answer=HEALTHY, outside=OUTSIDE)["inference-open"] == ERROR
    assert "management-open" not in found(management=LISTED)
    assert found(management=LISTED, outside=OUTSIDE)["management-open"] == ERROR
    assert found(outside=OUTSIDE)["management-open"] == WARNING


def test_workers_that_management_does_not_tell_are_not_missing():
    assert found(**model(looks=())) == {}


def test_a_limit_that_is_just_enough():
    assert "request-limit-too-small" not in found(limit=4_000_000)


@pytest.fixture
def plain_server():
    """A web server that is no TorchServe."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # the client does not read to the end

    with Quiet(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Endpoint("http", "127.0.0.1", server.server_address[1])
        server.shutdown()


def test_something_else_is_not_taken_for_torchserve(plain_server):
    report = examine_server(str(plain_server), timeout=2.0)
    assert [finding.name for finding in report.findings] == ["no-torchserve"]
    assert report.status == 2
    assert any("max_request_size" in each for each in report.unexamined)
