"""The configuration that follows from options and a machine, as TorchServe and Java read it."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from eisen_deploy.serving.engines.machine import Machine
from eisen_deploy.serving.engines.options import GIB, MIB, Options, is_loopback
from eisen_deploy.serving.engines.torchserve.settings import logging_config
from eisen_deploy.serving.engines.torchserve.settings.configuration import (
    compute_heap_size,
    compute_queue_size,
    configure,
    count_workers,
    render_variables,
)
from eisen_deploy.serving.engines.torchserve.settings.known_properties import (
    PROPERTIES,
    parse_address,
    parse_java_int,
)
from eisen_deploy.serving.engines.torchserve.settings.profile import TUNED

MACHINE = Machine(cores=8, memory=32 * GIB)


def properties(text):
    """Read properties as Java does, as far as we write them."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = (line.split("=", 1) for line in lines)
    return {name: value.encode("ascii").decode("unicode_escape") for name, value in pairs}


def test_every_line_has_a_reason_and_reads_back():
    configuration = configure(Options(), MACHINE)
    text = configuration.render()
    assert properties(text) == configuration.properties
    lines = text.splitlines()
    for at, line in enumerate(lines):
        assert line.startswith("#") or lines[at - 1].startswith("#")
    for setting in configuration.of_kind("vmarg"):
        assert f"#   {setting.name}{setting.value}: {setting.reason}" in text


def test_it_is_short_and_says_where_the_measurements_are():
    options = Options(host="0.0.0.0", token_auth=True, tls_cert=Path("c.pem"), tls_key=Path("k"))
    configuration = configure(options, MACHINE)
    comments = [line for line in configuration.render().splitlines() if line.startswith("#")]
    comments += render_variables(configuration.of_kind("environment")).splitlines()[::2]
    assert "docs/tuned-profile.rst" in comments[0]
    assert max(map(len, comments)) <= 100
    assert len(comments) <= 40
    assert not re.search(r"[0-9] (ms|s)\b", "".join(comments))
    page = (Path(__file__).resolve().parents[3] / "docs" / "tuned-profile.rst").read_text("utf-8")
    for setting in (each for each in TUNED if each.kind != "log"):
        assert setting.name.rstrip("=") in page


def test_limits_follow_the_largest_body():
    found = configure(Options(max_body=64 * MIB), MACHINE).properties
    assert found["max_request_size"] == found["max_response_size"] == str(64 * MIB)


def test_the_queue_fits_into_the_heap_unless_it_were_too_short():
    small = Options(max_body=128 * MIB)
    assert compute_heap_size(MACHINE) == int(0.4 * 32 * GIB)
    assert compute_queue_size(small, MACHINE) == compute_heap_size(MACHINE) * 3 // 4 // (128 * MIB)
    assert compute_queue_size(replace(small, max_body=MIB), MACHINE) == 100
    assert compute_queue_size(replace(small, max_body=2 * GIB - 1), MACHINE) == 16


def test_the_heap_keeps_small_pointers_and_a_least_size():
    assert compute_heap_size(Machine(1, 256 * GIB)) == 31 * GIB
    assert compute_heap_size(Machine(1, GIB // 2)) == 512 * MIB


def test_memory_outside_of_the_heap_takes_two_bodies():
    def direct(memory):
        vmargs = configure(Options(max_body=GIB), Machine(1, memory)).properties["vmargs"]
        (found,) = [part for part in vmargs.split() if part.startswith("-XX:MaxDirectMemorySize=")]
        return found.partition("=")[2]

    assert direct(4 * GIB) == "2048m"
    assert direct(32 * GIB) == "8192m"


def test_workers():
    assert count_workers(Options(), MACHINE) == 1
    assert count_workers(Options(), replace(MACHINE, gpus=2)) == 2
    assert count_workers(Options(workers=3), replace(MACHINE, gpus=2)) == 3
    found = configure(Options(workers=3), MACHINE).properties
    assert found["default_workers_per_model"] == "3"


def test_every_property_is_one_of_torchserves_and_valid():
    options = Options(token_auth=True, tls_cert=Path("cert.pem"), tls_key=Path("key.pem"))
    for name, value in configure(options, MACHINE).properties.items():
        kind = PROPERTIES[name].kind
        assert kind != "int" or parse_java_int(value) is not None, name
        assert kind != "bool" or value in ("true", "false"), name
        assert kind != "address" or parse_address(name, value) is not None, name


def test_only_predictions_leave_the_machine():
    options = Options(host="0.0.0.0", port=1, management_port=2, metrics_port=3)
    found = configure(options, MACHINE).properties
    assert found["inference_address"] == "http://0.0.0.0:1"
    assert found["management_address"] == "http://127.0.0.1:2"
    assert found["metrics_address"] == "http://127.0.0.1:3"


def test_tokens():
    without = configure(Options(), MACHINE).properties
    assert without["disable_token_authorization"] == "true"
    assert "token_expiration_min" not in without
    found = configure(Options(token_auth=True), MACHINE).properties
    assert found["disable_token_authorization"] == "false"
    assert int(found["token_expiration_min"]) == 365 * 24 * 60


def test_tls_and_a_path_that_is_not_ascii():
    cert, key = Path("/etc/kräfte 𝄞/cert.pem"), Path("/etc/back\\slash.pem")
    configuration = configure(Options(tls_cert=cert, tls_key=key), MACHINE)
    text = configuration.render()
    assert text.isascii()
    assert "certificate_file=/etc/kr\\u00e4fte \\ud834\\udd1e/cert.pem" in text
    assert "private_key_file=/etc/back\\\\slash.pem" in text
    assert "inference_address=https://127.0.0.1:8080" in text


def test_the_profile_is_data_that_can_be_written():
    names = [(setting.kind, setting.name) for setting in TUNED]
    assert len(set(names)) == len(names)
    for setting in TUNED:
        assert setting.reason
        assert not set(" \n") & set(setting.name + setting.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True)),
        *(("LocalHost", True), ("[::1]", True), ("[::]", False), ("localhost.evil", False)),
        *(("0.0.0.0", False), ("10.1.2.3", False), ("server.hospital", False)),
    ],
)
def test_loopback(host, expected):
    assert is_loopback(host) == expected


def test_what_a_log_may_take_is_bounded_and_tracebacks_are_kept():
    root = ET.fromstring(logging_config.render({"ACCESS_LOG": "off", "some.logger": "warn"}))
    files = root.findall(".//RollingFile")
    assert {file.get("fileName").rpartition("/")[2] for file in files} == {
        "server.log",
        "models.log",
        "access.log",
    }
    for file in files:
        assert file.find(".//SizeBasedTriggeringPolicy").get("size") == "20 MB"
        assert file.find("DefaultRolloverStrategy").get("max") == "3"
    levels = {logger.get("name"): logger.get("level") for logger in root.findall(".//Logger")}
    assert levels["MODEL_LOG"] == "info"
    assert levels["ACCESS_LOG"] == "off"
    assert levels["some.logger"] == "warn"


def test_the_variables_are_what_a_shell_makes_of_them():
    settings = configure(Options(), MACHINE).of_kind("environment")
    script = (
        render_variables(settings) + f"{sys.executable} -c 'import os; print(dict(os.environ))'"
    )
    found = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    environment = eval(found.stdout)
    for setting in settings:
        assert environment[setting.name] == setting.value
