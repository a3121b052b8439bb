"""``eisen-client`` as a program: statuses, tokens, TLS, bars, pipes; metadata, wait, check."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path

import pytest

from eisen_deploy import client
from eisen_deploy.client import files
from eisen_deploy.client.cli import exit_statuses

ROOT = Path(__file__).resolve().parents[3]
METADATA = {
    "inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 2]}, {"name": "any"}],
    "outputs": [{"name": "y", "type": "ndarray[int64]", "shape": [-1]}],
    "custom": {"note": "größe"},
}


def unused_url():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/predictions/seg"


# --- statuses -----------------------------------------------------------------------------


def test_every_error_has_a_status_of_its_kind():
    for name in client.__all__:
        error = getattr(client, name)
        if isinstance(error, type) and issubclass(error, client.EisenClientError):
            assert exit_statuses.status_of(error("no")) in {2, *range(7, 21)}, name
    for name in files.__all__:
        error = getattr(files, name)
        if isinstance(error, type) and issubclass(error, files.FileError):
            assert exit_statuses.status_of(error("no")) in range(3, 7), name
    assert exit_statuses.status_of(KeyError("x")) == 1
    assert exit_statuses.status_of(PermissionError("x")) == 4
    assert exit_statuses.status_of(KeyboardInterrupt()) == 130


def test_statuses_are_those_of_the_help_and_of_the_documentation(run):
    status, told, _ = run("--help")
    assert status == 0
    text = (ROOT / "docs" / "eisen-client.rst").read_text("utf-8")
    documented = re.findall(r"   \* - (\d+)\n     - (.+)\n", text)
    expected = [(str(each.status), each.meaning) for each in exit_statuses.EXITS]
    assert [(number, meaning.rstrip(".").lower()) for number, meaning in documented] == [
        (number, meaning.lower()) for number, meaning in expected
    ]
    for number, meaning in expected:
        assert f"{number:>3}  {meaning}" in told


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        ((400, "InvalidKeyException"), 13, "--token-file or EISEN_TOKEN"),
        ((404, "ModelNotFoundException"), 14, "check the address"),
        ((413, "BodyTooLarge"), 15, "413"),
        ((422, "InvalidInput"), 7, "eisen-client metadata"),
        ((500, "ModelFailed"), 19, "the same values"),
        ((507, "OutOfMemory"), 19, "memory"),
        ((415, "UnsupportedMediaType"), 20, "415"),
        ((302, ""), 20, "not followed"),
    ],
)
def test_errors_of_the_server(serve, http, run, answer, status, told):
    server = serve(http.always(http.error(*answer)))
    found, out, err = run("metadata", server.url)
    assert (found, out) == (status, "")
    assert told in err
    assert err.startswith(f"eisen-client: {server.url}: ")
    assert err.count("\n") == 1


def test_a_server_that_is_not_there_and_one_that_says_nothing(serve, run):
    assert run("wait", unused_url(), "--timeout", "0.3")[0] == 16
    server = serve(lambda peer: peer.wait_for_close())
    status, _, err = run("metadata", server.url, "--timeout", "0.3")
    assert status == 17
    assert "--timeout gives it longer" in err


def test_a_lost_reply(serve, http, run):
    def script(peer):
        while (request := peer.receive()) is not None:
            if request.body:
                peer.reset()
                return
            peer.send(http.reply(200, body=b"{}"))

    status, _, err = run("predict", serve(script).url, "--value", "x=[1]", "--json")
    assert status == 18
    assert "--idempotent sends it again" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["check", "metadata", "predict"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n{}"])
def test_a_lost_reply_with_metadata(serve, http, run, command, answer):
    """No model ran for it, and most commands have no --idempotent."""
    arguments = ["--value", "x=[1]", "--json"] if command == "predict" else []
    status, out, err = run(command, serve(http.once(answer)).url, "--timeout", "1", *arguments)
    assert status == 18
    assert "no model ran for it: try again" in out + err
    assert "--idempotent" not in out + err


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x/y", "http://"])
def test_wrong_addresses(run, url):
    status, _, err = run("metadata", url)
    assert status == 2
    assert "http://" in err


@pytest.mark.parametrize("arguments", [[], ["guess"], ["wait", "u", "--tim", "1"]])
def test_wrong_arguments(run, arguments):
    status, _, err = run(*arguments)
    assert status == 2
    assert "usage: eisen-client" in err


def test_every_command_has_help_with_an_example(run):
    for command in ("metadata", "predict", "wait", "check"):
        status, told, _ = run(command, "--help")
        assert status == 0
        assert f"eisen-client {command} " in told.partition("example")[2]


def test_the_version(run):
    from importlib.metadata import version

    told = f"eisen-client (eisen-deploy-client) {version('eisen-deploy-client')}\n"
    assert run("--version")[1] == told


def test_a_fault_of_ours_is_one_line_without_its_text(run, monkeypatch):
    def fail(_):
        raise KeyError("CANARY")

    monkeypatch.setattr("eisen_deploy.client.cli.metadata.connection.make_client", fail)
    assert run("metadata", "http://x/predictions/m") == (
        1,
        "",
        "eisen-client: unexpected KeyError (--debug shows where)\n",
    )
    status, _, err = run("metadata", "http://x/predictions/m", "--debug")
    assert status == 1
    assert 'raise KeyError("CANARY")' in err  # the line of code
    assert "KeyError: 'CANARY'" not in err


# --- credentials --------------------------------------------------------------------------


def test_tokens_are_read_from_a_file_or_the_environment(serve, http, run, tmp_path, monkeypatch):
    server = serve(http.always(http.reply(200, body=b"{}")))
    monkeypatch.setenv("EISEN_TOKEN", "from-environment")
    (tmp_path / "key").write_text("from-file\n")
    key_file = tmp_path / "key_file.json"
    key_file.write_text(json.dumps({"inference": {"key": "from-json"}}))
    assert run("metadata", server.url)[0] == 0
    assert run("metadata", server.url, "--token-file", tmp_path / "key")[0] == 0
    assert run("metadata", server.url, "--token-file", key_file)[0] == 0
    assert [request.headers["authorization"] for request in server.seen] == [
        "Bearer from-environment",
        "Bearer from-file",
        "Bearer from-json",
    ]


def test_a_token_on_the_command_line_is_refused(run):
    status, _, err = run("metadata", "http://x/predictions/m", "--token", "CANARY")
    assert status == 2
    assert "--token-file" in err
    assert "CANARY" not in err


def test_a_token_that_cannot_be_sent(run, tmp_path, monkeypatch):
    monkeypatch.setenv("EISEN_TOKEN", "CAN ARY")
    status, _, err = run("metadata", unused_url())
    assert status == 2
    assert "CAN" not in err
    status, _, err = run("metadata", unused_url(), "--token-file", tmp_path / "no")
    assert status == 13


def test_tls(serve, http, run, certificates, tls_context):
    server = serve(http.always(http.reply(200, body=b"{}")), tls_context)
    status, _, err = run("metadata", server.url)
    assert status == 12
    assert "--ca takes the file" in err
    assert run("metadata", server.url, "--ca", certificates / "authority.pem")[::2] == (0, "")
    status, _, err = run("metadata", server.url, "--no-verify")
    assert status == 0
    assert err.startswith("eisen-client: warning: --no-verify")
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the store takes no certificates of a test")
def test_tls_by_the_systems_authorities(serve, http, run, certificates, tls_context, monkeypatch):
    pytest.importorskip("truststore", reason="needs Python 3.10")
    server = serve(http.always(http.reply(200, body=b"{}")), tls_context)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "authority.pem"))
    assert run("metadata", server.url)[0] == 12
    assert run("metadata", server.url, "--ca", "system")[::2] == (0, "")
    monkeypatch.setenv("EISEN_CA", "system")
    assert run("metadata", server.url)[::2] == (0, "")
    monkeypatch.setitem(sys.modules, "truststore", None)
    status, _, err = run("metadata", server.url)
    assert status == 2
    assert 'pip install "eisen-deploy-client[truststore]"' in err


def test_options_that_exclude_each_other(run):
    assert run("metadata", "https://x/predictions/m", "--key", "k.pem")[0] == 2
    assert run("metadata", "https://x/predictions/m", "--ca", "k.pem", "--no-verify")[0] == 2


@pytest.mark.parametrize("flag", ["--ca", "--cert", "--key"])
def test_files_that_are_not_there(run, certificates, tmp_path, flag):
    there = certificates / "workstation.pem"
    given = {"--ca": there, "--cert": there, "--key": there, flag: tmp_path / "no.pem"}
    arguments = [text for pair in given.items() for text in pair]
    status, out, err = run("check", "https://x/predictions/m", *arguments)
    assert (status, out) == (2, "")
    assert err == f"eisen-client: {flag} {tmp_path / 'no.pem'}: there is no such file\n"


# --- metadata, wait -----------------------------------------------------------------------


def test_metadata(serve, http, run):
    server = serve(http.echo(METADATA))
    assert run("metadata", server.url)[1] == (
        "inputs\n"
        "  x    ndarray  [-1, 2]\n"
        "  any  any\n"
        "outputs\n"
        "  y  ndarray[int64]  [-1]\n"
        "custom\n"
        "  {\n"
        '    "note": "größe"\n'
        "  }\n"
    )
    assert json.loads(run("metadata", "--json", server.url)[1]) == METADATA
    told = run("metadata", serve(http.echo({"free": 1})).url)[1]
    assert told == "inputs: not declared\noutputs: not declared\n"


def test_metadata_does_not_command_the_terminal(serve, http, run):
    evil = {"inputs": [{"name": "\x1b[2J"}], "outputs": [], "custom": {"\x1b[1A": "\x9b"}}
    told = run("metadata", serve(http.echo(evil)).url)[1]
    assert r"\x1b[2J" in told
    assert "\x1b" not in told
    assert "\x9b" not in told


def test_wait(serve, http, run):
    answers = [http.error(503, "ServiceUnavailableException")] * 2

    def script(peer):
        while peer.receive() is not None:
            peer.send(answers.pop() if answers else http.reply(200, body=b"{}"))

    assert run("wait", serve(script).url, "--timeout", "30") == (0, "ready\n", "")
    assert answers == []


# --- check --------------------------------------------------------------------------------


def checks(told):
    return {line.split()[0]: line.split()[1] for line in told.splitlines()}


ALL = ("address", "connection", "encryption", "token", "model", "limits")


def test_check_of_what_is_good(model, run):
    server = model(lambda x: {"y": x}, {"x": [-1]}, {"y": [-1]})
    status, told, err = run("check", server.url, "--size", "100kB")
    assert (status, err) == (0, "")
    assert checks(told) == dict.fromkeys(ALL, "ok")
    assert "takes requests of 100.0 kB" in told
    assert server.asked == []
    assert len(server.seen[-1].body) > 100_000
    told = json.loads(run("check", server.url, "--size", "1kB", "--json")[1])
    assert told["ok"] is True
    assert [each["check"] for each in told["checks"]] == list(ALL)


def test_check_of_a_limit(serve, http, run):
    def script(peer):
        while (request := peer.receive()) is not None:
            if request.body:
                peer.send(http.reply(413))
            else:
                peer.send(http.reply(200, body=json.dumps(METADATA).encode()))

    status, told, _ = run("check", serve(script).url, "--size", "2MiB")
    assert status == 15
    assert checks(told) == {**dict.fromkeys(ALL, "ok"), "limits": "failed"}
    assert "max_request_size" in told


def test_check_sends_nothing_to_a_model_that_would_run_on_it(serve, http, run):
    server = serve(http.echo({"free": 1}))
    status, told, _ = run("check", server.url)
    assert status == 0
    assert checks(told)["limits"] == "skipped"
    assert not any(request.body for request in server.seen)


@pytest.mark.parametrize(
    ("answer", "status", "failed"),
    [
        ((400, "InvalidKeyException"), 13, "token"),
        ((404, "ModelNotFoundException"), 14, "model"),
        ((503, "ServiceUnavailableException"), 16, "model"),
        ((302, ""), 20, "model"),
    ],
)
def test_check_stops_at_the_first_failure(serve, http, run, answer, status, failed):
    found, told, _ = run("check", serve(http.always(http.error(*answer))).url)
    assert found == status
    at = ALL.index(failed)
    assert list(checks(told).values()) == ["ok"] * at + ["failed"] + ["skipped"] * (5 - at)


def test_check_of_address_connection_and_encryption(serve, http, run, tls_context, certificates):
    assert checks(run("check", "ftp://x")[1])["address"] == "failed"
    status, told, _ = run("check", unused_url())
    assert (status, checks(told)["connection"]) == (10, "failed")
    plain = serve(lambda peer: (peer.sock.recv(9), peer.send(b"HTTP/1.1 400 x\r\n\r\n")))
    status, told, _ = run("check", plain.url.replace("http", "https"))
    assert (status, checks(told)["encryption"]) == (12, "failed")
    assert "use http:// in its address" in told
    assert "--ca" not in told
    secure = serve(http.echo(METADATA), tls_context)
    status, told, _ = run("check", secure.url)
    assert (status, checks(told)["encryption"]) == (12, "failed")
    ca = certificates / "authority.pem"
    status, told, _ = run("check", secure.url, "--ca", ca, "--size", "1kB")
    assert checks(told)["encryption"] == "ok"
    status, told, _ = run("check", secure.url, "--no-verify", "--size", "1kB")
    assert checks(told)["encryption"] == "warning"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://model.invalid/predictions/seg", "model.invalid:80/predictions/seg"),
        ("https://us%40er:canary@Model.invalid:8443/m?key=canary", "model.invalid:8443/m"),
        ("http://[::1]/m", "[::1]:80/m"),
        ("http://[2001:DB8::1]:8080/m", "[2001:db8::1]:8080/m"),
        ("http://model.invalid:0/m", "model.invalid:0/m"),
    ],
)
def test_the_address_is_shown_with_its_port(serve, http, run, monkeypatch, url, shown):
    proxy = serve(http.always(http.reply(404)))
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
    told = run("check", url, "--timeout", "5", "--json")[1]
    address = json.loads(told)["checks"][0]
    assert (address["check"], address["status"], address["detail"]) == ("address", "ok", shown)
    assert "canary" not in told


def test_the_port_of_https_is_shown(serve, http, run, tls_context, certificates):
    secure = serve(http.echo(METADATA), tls_context)
    told = run("check", secure.url, "--ca", certificates / "authority.pem", "--size", "1kB")[1]
    assert f"127.0.0.1:{secure.port}/predictions/seg" in told


@pytest.mark.parametrize("text", ["", "x", "1XB", "-1", "1.5MB", "9" * 13])
def test_wrong_sizes(run, text):
    status, _, err = run("check", "http://x/predictions/m", "--size", text)
    assert status == 2
    assert "expected a size such as 180MiB, in bytes or kB, MB, GB, KiB, MiB, GiB" in err
