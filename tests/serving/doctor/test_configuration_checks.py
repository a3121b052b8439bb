"""Each check of a configuration fires where it should, and is silent on the sound one."""

from __future__ import annotations

import sys

import pytest

from eisen_deploy.serving.doctor import ERROR, WARNING
from eisen_deploy.serving.doctor.checks import access, capacity, properties

OPEN = "http://0.0.0.0:8080"
OFF = {"disable_token_authorization": "true"}
# By finding: its severity, a text that is put behind the sound configuration, other values.
CASES = {
    "escape-broken": (ERROR, r"model_dir=C:\users", {}),
    "property-unknown": (WARNING, "max_reqest_size=1", {}),
    "value-no-number": (ERROR, "", {"max_request_size": "512MB"}),
    "value-no-boolean": (WARNING, "enable_model_api=false # no", {}),
    "value-no-json": (ERROR, "models={bad", {}),
    "address-invalid": (ERROR, "inference_address=http://127.0.0.1:8080/", {}),
    "variable-missing": (ERROR, "load_models=$$NOWHERE$$", {}),
    "timeout-not-positive": (ERROR, "", {"default_response_timeout": "0"}),
    "inference-open": (ERROR, "", {"inference_address": OPEN, **OFF}),
    "management-open": (WARNING, "management_address=http://0.0.0.0:8081", {}),
    "metrics-open": (WARNING, "metrics_address=http://0.0.0.0:8082", {}),
    "grpc-open": (WARNING, "grpc_inference_address=0.0.0.0", {}),
    "clear-text": (WARNING, f"inference_address={OPEN}", {}),
    "address-shared": (ERROR, "management_address=http://127.0.0.1:8080", {}),
    "tls-without-certificate": (ERROR, "inference_address=https://127.0.0.1:8443", {}),
    "tls-file-missing": (ERROR, "keystore=nowhere.p12", {}),
    "tokens-expire": (WARNING, "", {"token_expiration_min": None}),
    "model-api-enabled": (WARNING, "enable_model_api=true", {}),
    "cors-any": (WARNING, "cors_allowed_origin=*", {}),
    "request-limit-stock": (WARNING, "", {"max_request_size": None}),
    "response-limit-stock": (WARNING, "", {"max_response_size": "6553500"}),
    "queue-exceeds-heap": (WARNING, "vmargs=-Xmx64m", {}),
    "heap-too-small": (ERROR, "vmargs=-Xmx15m", {}),
    "workers-exceed-memory": (WARNING, "vmargs=-Xmx999t", {}),
    "workers-exceed-cores": (WARNING, "", {"default_workers_per_model": "999"}),
    "handler-replaced": (ERROR, "service_envelope=json", {}),
    "dependencies-installed": (WARNING, "install_py_dep_per_model=true", {}),
}
# These need a folder, variables, files or archives: each has a test of its own, here or beside.
ELSEWHERE = {
    *("vmargs-not-read", "snapshot-overrides", "environment-ignored", "secret-readable"),
    *("request-limit-too-small", "response-limit-too-small"),
}


def test_the_sound_configuration_has_no_findings(doctor):
    doctor.python = sys.executable
    report = doctor.examine()
    assert report.findings == []
    assert report.unexamined == []


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_and_says_what_happens_and_what_to_do(doctor, name):
    severity, text, values = CASES[name]
    findings = [each for each in doctor.examine(text, **values).findings if each.name == name]
    assert [finding.severity for finding in findings[:1]] == [severity]
    for finding in findings:
        assert finding.found
        assert finding.effect.endswith(".")
        assert finding.remedy
        assert not finding.remedy.endswith(".")


def test_every_check_has_a_case():
    checks = [check for module in (properties, access, capacity) for check in module.AREA.checks]
    assert {check.name for check in checks} == {*CASES, *ELSEWHERE}


# Finding, lines that look like it and are right.
SILENT = {
    "escape-broken": r"load_models=a\u0062.mar",
    "property-unknown": "vmargs=-Xmx2g",
    "value-no-number": "job_queue_size=+10",
    "value-no-boolean": "enable_model_api=FALSE",
    "value-no-json": 'models={"seg": {"1.0": {"batchSize": 1}}}',
    "address-invalid": "inference_address=unix:/tmp/inference.sock",
    "variable-missing": "load_models=$$PATH$$",
    "management-open": "management_address=http://localhost:8081",
    "grpc-open": "grpc_inference_address=::1",
    "clear-text": "inference_address=http://127.8.8.8:8080",
    "address-shared": "management_address=unix:/tmp/management.sock",
    "cors-any": "cors_allowed_origin=https://viewer.example",
    "queue-exceeds-heap": "vmargs=-Xmx81m",
    "heap-too-small": "vmargs=-Xmx16m",
}


@pytest.mark.parametrize("name", SILENT)
def test_it_is_not_found_where_it_is_right(doctor, name):
    assert name not in doctor.names(SILENT[name])


def test_without_tokens_the_same_is_worse(doctor):
    text = "management_address=http://0.0.0.0:8081\nenable_model_api=true\n"
    found = doctor.names(text + "grpc_management_address=0.0.0.0", **OFF)
    for name in ("management-open", "model-api-enabled", "grpc-open"):
        assert found[name] == ERROR


def test_tls_with_its_files_is_right(doctor):
    for name in ("server.pem", "server.key"):
        (doctor.folder / name).touch(0o600)
    text = "inference_address=https://0.0.0.0:8443\ncertificate_file=server.pem\n"
    half = doctor.names(text)
    assert "tls-without-certificate" in half
    whole = doctor.names(text + "private_key_file=server.key")
    assert not {"tls-without-certificate", "tls-file-missing", "clear-text"} & whole.keys()


def test_secrets_that_others_may_read(doctor):
    path = doctor.folder / "key_file.json"
    path.touch(0o644)
    path.chmod(0o644)
    assert doctor.names()["secret-readable"] == WARNING
    path.chmod(0o600)
    assert "secret-readable" not in doctor.names()
    doctor.write("keystore_pass=x").chmod(0o644)
    assert "secret-readable" in doctor.names("keystore_pass=x")


def test_a_misspelt_password_is_not_printed(doctor):
    report = doctor.examine("keystore_pas=secret")
    assert any(finding.name == "property-unknown" for finding in report.findings)
    assert "secret" not in str(report.findings).replace("secret-readable", "")


def test_vmargs_are_read_from_a_file_that_is_given_by_name(doctor):
    text = "vmargs=-Xmx15m"
    assert "vmargs-not-read" not in doctor.names(text)
    assert "heap-too-small" in doctor.names(text)
    doctor.in_folder = True
    assert doctor.names(text)["vmargs-not-read"] == WARNING
    assert "heap-too-small" not in doctor.names(text)  # Java starts without them
    doctor.environment["TS_CONFIG_FILE"] = "config.properties"
    assert "vmargs-not-read" not in doctor.names(text)


def test_snapshots_win_over_a_file_that_is_not_given_by_name(doctor):
    snapshots = doctor.folder / "logs" / "config"
    snapshots.mkdir(parents=True)
    doctor.in_folder = True
    assert "snapshot-overrides" not in doctor.names()
    (snapshots / "20260101-shutdown.cfg").touch()
    assert doctor.names()["snapshot-overrides"] == WARNING
    doctor.in_folder = False
    assert "snapshot-overrides" not in doctor.names()


def test_variables_override_where_that_is_allowed(doctor):
    doctor.environment["TS_MAX_REQUEST_SIZE"] = "6553500"
    ignored = doctor.names()
    assert ignored["environment-ignored"] == WARNING
    assert "request-limit-stock" not in ignored
    taken = doctor.names("enable_envvars_config=true")
    assert taken["request-limit-stock"] == WARNING
    assert "environment-ignored" not in taken


def test_variables_of_java_are_seen(doctor):
    doctor.environment["JAVA_TOOL_OPTIONS"] = "-Xmx15m"
    assert "heap-too-small" in doctor.names()
    assert "heap-too-small" not in doctor.names("vmargs=-Xmx1g")  # the command line comes later
    doctor.environment["_JAVA_OPTIONS"] = "-Xmx15m"
    assert "heap-too-small" in doctor.names("vmargs=-Xmx1g")


def test_what_fits_exactly_is_right(doctor):
    sizes = {"max_request_size": str(2**23), "max_response_size": str(2**23)}
    exact = doctor.names("vmargs=-Xmx80m", **sizes)
    assert not {"queue-exceeds-heap", "heap-too-small"} & exact.keys()
    assert "queue-exceeds-heap" in doctor.names("vmargs=-Xmx81919k", **sizes)
    assert "heap-too-small" not in doctor.names("vmargs=-Xmx16m", **sizes)
    assert "heap-too-small" in doctor.names("vmargs=-Xmx16383k", **sizes)


@pytest.mark.parametrize(("minutes", "found"), [("61", True), ("1439.5", True), ("1440", False)])
def test_tokens_that_last_less_than_a_day(doctor, minutes, found):
    assert ("tokens-expire" in doctor.names(token_expiration_min=minutes)) == found


def test_a_queue_that_does_not_fit_is_not_found_where_java_ends_cleanly(doctor):
    text = "vmargs=-Xmx64m -XX:+ExitOnOutOfMemoryError"
    assert "queue-exceeds-heap" not in doctor.names(text)


def test_everything_wrong_is_reported_at_once(doctor):
    names = ["escape-broken", "property-unknown", "value-no-json", "variable-missing", "cors-any"]
    names += ["grpc-open", "handler-replaced", "workers-exceed-memory"]
    found = doctor.names("\n".join(CASES[name][1] for name in names))
    assert set(names) <= found.keys()
