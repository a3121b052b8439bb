"""A real TorchServe, asked: one as it comes, one that is configured well."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from eisen_deploy.serving.doctor import ERROR, WARNING, examine_server
from eisen_deploy.serving.doctor.facts.probes import takes_body
from eisen_deploy.serving.engines.keys import Keys, read_keys
from eisen_deploy.serving.engines.torchserve.calls import Endpoint
from eisen_deploy.serving.engines.torchserve.launcher import TorchServe

pytestmark = pytest.mark.torchserve

PACK = Path(__file__).resolve().parents[2] / "e2e" / "pack_models.py"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "zoo"
    subprocess.run([sys.executable, PACK, folder], check=True)
    return folder


def started(folder, zoo, server_python, config):
    config = {"default_workers_per_model": "1", **config}
    return TorchServe(folder, zoo, ["echo.mar"], config=config, python=str(server_python))


@pytest.fixture(scope="module")
def stock(zoo, server_python, tmp_path_factory):
    """As it comes, without tokens."""
    config = {"disable_token_authorization": "true"}
    with started(tmp_path_factory.mktemp("stock"), zoo, server_python, config) as server:
        server.wait_ready("echo")
        yield server


@pytest.fixture(scope="module")
def good(zoo, server_python, tmp_path_factory):
    config = {
        "max_request_size": "300000000",
        "max_response_size": "300000000",
        "token_expiration_min": "525600",
    }
    with started(tmp_path_factory.mktemp("good"), zoo, server_python, config) as server:
        server.wait_ready("echo")
        yield server


def examine(server, **options):
    options = {"management": server.management_url, "metrics": server.config["metrics_address"]} | (
        options
    )
    return examine_server(server.inference_url, **options)


def names(report):
    return {finding.name: finding.severity for finding in report.findings}


def test_findings_with_the_default_configuration(stock):
    report = examine(stock)
    assert report.status == 1
    assert names(report) == {"request-limit-stock": WARNING}
    facts = dict(report.facts)
    assert facts["server"].startswith("TorchServe 0.12")
    assert facts["tokens"] == "off"
    assert facts["model"] == "echo, 1 of 1 workers ready, answers"
    assert report.unexamined == []


def test_configured_well(good):
    report = examine(good, keys=read_keys(good.folder / "key_file.json"))
    assert report.status == 0
    assert names(report) == {}
    assert report.unexamined == []
    assert dict(report.facts)["request up to"].startswith("300000000 bytes")


def test_without_its_tokens_it_says_what_it_could_not_see(good):
    report = examine(good)
    assert report.status == 0
    assert any("--token-file" in each for each in report.unexamined)


def test_a_wrong_token(good):
    report = examine(good, keys=Keys("wrong", "wrong"))
    assert names(report)["token-refused"] == ERROR


def test_a_model_that_there_is_not(stock):
    report = examine(stock, models=["nowhere"])
    (finding,) = [each for each in report.findings if each.name == "model-silent"]
    assert "nowhere: 404 ModelNotFoundException" in finding.found


def test_an_interface_that_is_not_for_inference(stock):
    report = examine_server(stock.config["metrics_address"])
    assert report.examined  # it is TorchServe; what it answers is not what /ping does
    assert "ping-unhealthy" in names(report)


def test_the_limit_is_found_to_the_byte_without_sending_one(good):
    endpoint = Endpoint.parse(good.inference_url)
    assert takes_body(endpoint, 300_000_000) is True
    assert takes_body(endpoint, 300_000_001) is False
    assert dict(examine(good, keys=Keys(good.key(), good.key("management"))).facts)


def never_loading(folder):
    """Write an archive whose worker ends while it loads, again and again."""
    manifest = {
        "createdOn": "01/01/2026 00:00:00",
        "runtime": "python",
        "model": {"modelName": "bad", "modelVersion": "1.0", "handler": "handler.py"},
        "archiverVersion": "0.12.0",
    }
    with zipfile.ZipFile(folder / "bad.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        archive.writestr("handler.py", "raise SystemExit(1)\n")
    return folder


def test_a_model_that_never_loads_is_seen_while_ping_says_healthy(server_python, tmp_path):
    (tmp_path / "store").mkdir()
    store = never_loading(tmp_path / "store")
    config = {"disable_token_authorization": "true", "default_workers_per_model": "1"}
    python = str(server_python)
    with TorchServe(tmp_path, store, ["bad.mar"], config=config, python=python) as server:
        deadline = time.monotonic() + 90
        found = {}
        while "worker-missing" not in found and time.monotonic() < deadline:
            time.sleep(0.5)
            found = names(examine(server, timeout=1.0))
    assert found["worker-missing"] == ERROR
    assert found["model-silent"] == ERROR
    assert "ping-unhealthy" not in found


def test_the_certificate_that_torchserve_makes_by_itself(zoo, server_python, tmp_path, monkeypatch):
    """Java 17 lets it do so only with this option; without, it ends at its start."""
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "--add-exports=java.base/sun.security.x509=ALL-UNNAMED")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"https://127.0.0.1:{probe.getsockname()[1]}"
    config = {"inference_address": address, "disable_token_authorization": "true"}
    with started(tmp_path, zoo, server_python, config) as server:
        deadline = time.monotonic() + 90
        report = examine(server, timeout=2.0)
        while not report.examined and time.monotonic() < deadline:
            time.sleep(0.5)
            report = examine(server, timeout=2.0)
    (finding,) = [each for each in report.findings if each.name == "tls-distrusted"]
    assert finding.severity == ERROR
    assert "TorchServe made it by itself" in finding.found
