"""The arguments of ``eisen-serve``: sizes, and what is refused before anything starts."""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from eisen_deploy.serving.cli import main
from eisen_deploy.serving.cli.arguments import (
    add_arguments,
    find_interpreter,
    find_whole_path,
    make_options,
    parse_port,
    parse_positive,
    parse_size,
)
from eisen_deploy.serving.engines import preflight
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.preflight import Refused
from eisen_deploy.serving.engines.torchserve.engine import TorchServeEngine
from eisen_deploy.serving.engines.torchserve.launcher import free_ports
from eisen_deploy.serving.engines.uvicorn.engine import UvicornEngine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("512MiB", 512 * 2**20),
        ("1GB", 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("64m", 64 * 2**20),
        ("7kB", 7000),
        ("100B", 100),
    ],
)
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize("platform", ["win32", "darwin"])
@pytest.mark.parametrize("command", ["run", "config"])
def test_other_systems_than_linux_are_refused(command, platform, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "platform", platform)
    assert main([command, str(tmp_path / "model.mar")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "on Linux only: use a Linux container or WSL 2" in line


@pytest.mark.parametrize("text", ["", "0", "0.1B", "-1", "1TB", "MiB", "1iB", "1 2", "nan", "٣"])
def test_no_sizes(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "65536", "80a", "", "9" * 5000])
def test_no_ports(text):
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 65535"):
        parse_port(text)


def test_a_number_from_one_on():
    assert parse_positive("3") == 3
    with pytest.raises(argparse.ArgumentTypeError):
        parse_positive("0")


def on_free_ports():
    flags = ("--port", "--management-port", "--metrics-port")
    return [str(part) for pair in zip(flags, free_ports(3)) for part in pair]


def problems_of(options, *, insecure=False, engine=TorchServeEngine):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "torchserve").touch()
        own = [*engine().find_problems(options, 1, f"{folder}/python")]
    return [*own, *preflight.find_problems(options, insecure=insecure)]


def test_others_may_reach_it_only_with_a_token_or_tls_or_if_it_is_said():
    options = Options(host="0.0.0.0")
    (problem,) = problems_of(options)
    assert "--token-auth" in problem
    assert "--insecure" in problem
    assert problems_of(options, insecure=True) == []
    assert problems_of(Options(host="0.0.0.0", token_auth=True)) == []
    assert problems_of(Options()) == []


def test_all_problems_at_once():
    options = Options(host="no such host", max_body=2**31)
    with pytest.raises(Refused) as caught:
        preflight.refuse(problems_of(options))
    assert len(caught.value.problems) == 3


def certificate(folder, key_type):
    """Make a certificate, and its key in the form whose first line names no kind of key."""
    own = trustme.CA().issue_cert("localhost", key_type=key_type)
    cert, key = folder / "cert.pem", folder / "key.pem"
    own.cert_chain_pems[0].write_to_path(cert)
    key.write_bytes(
        serialization.load_pem_private_key(own.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, key


def test_a_certificate_that_torchserve_takes(tmp_path):
    cert, key = certificate(tmp_path, trustme.KeyType.RSA)
    assert problems_of(Options(tls_cert=cert, tls_key=key)) == []


def test_a_certificate_that_torchserve_does_not_take(tmp_path):
    cert, key = certificate(tmp_path, trustme.KeyType.ECDSA)
    assert "RSA keys only" in problems_of(Options(tls_cert=cert, tls_key=key))[0]
    assert problems_of(Options(tls_cert=cert, tls_key=key), engine=UvicornEngine) == []
    assert "give both" in problems_of(Options(tls_cert=cert))[0]
    missing = tmp_path / "missing.pem"
    assert "No such file" in problems_of(Options(tls_cert=cert, tls_key=missing))[0]
    other = tmp_path / "other"
    other.mkdir()
    _, another = certificate(other, trustme.KeyType.RSA)
    assert "no certificate and its key" in problems_of(Options(tls_cert=cert, tls_key=another))[0]


def test_ports_that_are_taken_or_the_same():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        taken = listener.getsockname()[1]
        options = Options(port=taken, management_port=taken, metrics_port=taken)
        problems = [*preflight.find_taken_ports(TorchServeEngine().list_ports(options))]
    assert [problem.split(":")[1] for problem in problems[:3]] == [f"{taken} is taken"] * 3
    assert "--metrics-port takes another one" in problems[2]
    assert "different ports" in problems[3]


@pytest.mark.parametrize(("host", "every"), [("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::")])
def test_a_host_that_is_another_machines(host, every):
    (problem,) = preflight.find_taken_ports({"--port": (host, 0), "--metrics-port": (host, 1)})
    assert problem == (
        f"--host {host}: not an address of this machine: give one of its own, {every} for all of "
        "them, or leave --host out to serve this machine only"
    )


def test_options_are_those_of_the_command_line(capsys):
    given = {}

    def keep(arguments):
        given.update(vars(make_options(arguments)))
        return 0

    parser = argparse.ArgumentParser()
    from eisen_deploy.serving.cli.arguments import add_arguments

    add_arguments(parser)
    keep(parser.parse_args(["a.mar", "--port", "1", "--max-body", "1MiB", "--tls-cert", "c.pem"]))
    assert given["port"] == 1
    assert given["max_body"] == 2**20
    assert given["tls_cert"].is_absolute()
    assert given["host"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], [8080, 8081, 8082]),
        (["--port", "9000"], [9000, 9001, 9002]),
        (["--port", "9000", "--management-port", "7000"], [9000, 7000, 9002]),
        (["--port", "9000", "--metrics-port", "7000"], [9000, 9001, 7000]),
        (["--metrics-port", "9999"], [8080, 8081, 9999]),
        (["--port", "443"], [443, 8081, 8082]),
        (["--port", "65533"], [65533, 65534, 65535]),
        (["--port", "65534"], [65534, 8081, 8082]),
    ],
)
def test_one_option_moves_all_ports(given, expected):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = make_options(parser.parse_args(["seg.mar", *given]))
    assert [options.port, options.management_port, options.metrics_port] == expected


def test_paths_are_shown_whole_and_links_are_kept(tmp_path, monkeypatch):
    """A link is kept, as what it links to is replaced; but ``..`` is the parent of that."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(tmp_path / "far" / "away")
    monkeypatch.chdir(tmp_path / "work")
    shown = {
        "../certs/./a.pem": tmp_path / "certs" / "a.pem",
        "link/a.pem": tmp_path / "work" / "link" / "a.pem",
        "link/../a.pem": tmp_path / "far" / "a.pem",
        "../work/link/a.pem": tmp_path / "work" / "link" / "a.pem",
        "/../a.pem": Path("/a.pem"),
    }
    for given, expected in shown.items():
        assert find_whole_path(Path(given)) == expected
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = make_options(parser.parse_args(["s.mar", "--tls-cert", "../c.pem", "--tls-key", "k"]))
    assert (options.tls_cert, options.tls_key) == (tmp_path / "c.pem", tmp_path / "work" / "k")


def test_wrong_arguments_end_with_2(capsys):
    assert main(["run", "seg.mar", "--max-body", "much"]) == 2
    assert "--max-body: expected a size such as 512MiB or 1GB, got 'much'" in (
        capsys.readouterr().err
    )


def test_an_environment_without_torchserve_is_reported(tmp_path, capsys):
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    assert main(["run", "seg.mar", *on_free_ports(), "--python", str(python)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "eisen-serve: seg.mar: No such file or directory",
        f"eisen-serve: no torchserve beside {python}: pip install torchserve PyYAML",
    ]


@pytest.fixture
def broken_python(tmp_path):
    """An interpreter that cannot be started, with a ``torchserve`` beside it."""
    (tmp_path / "torchserve").touch()
    return str(tmp_path / "python")


def test_what_is_known_at_once_is_said_together_and_nothing_slow_is_begun(
    tmp_path, broken_python, capsys
):
    (tmp_path / "empty").mkdir()
    with socket.socket() as one, socket.socket() as two:
        ports = []
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
            each.listen(1)
            ports.append(each.getsockname()[1])
        given = ["--port", ports[0], "--metrics-port", ports[1], "--max-body", "2GiB"]
        given += ["--management-port", free_ports(1)[0], "--python", broken_python]
        archives = [tmp_path / "nothere.mar", tmp_path / "empty"]
        assert main(["run", *map(str, [*archives, *given])]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("eisen-serve: ").partition(":")[2] for line in lines[:2]] == [
        f"{ports[0]} is taken: --port takes another one",
        f"{ports[1]} is taken: --metrics-port takes another one",
    ]
    assert [line.rpartition("/")[2].partition(":")[0] for line in lines[2:4]] == [
        "nothere.mar",
        "empty",
    ]
    assert "--max-body: TorchServe takes at most" in lines[4]
    assert len(lines) == 5  # of the interpreter nothing is known yet


def test_what_takes_longer_is_said_together(tmp_path, broken_python, capsys, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("one.mar", "two.mar"):
        (tmp_path / name).write_bytes(b"no archive")
    assert main(["config", str(tmp_path), "--python", broken_python]) == 2
    lines = capsys.readouterr().err.splitlines()
    starts = [tmp_path / "one.mar", tmp_path / "two.mar", broken_python, "no Java 17 or later"]
    assert [line.startswith(f"eisen-serve: {start}") for line, start in zip(lines, starts)] == (
        [True] * len(starts)
    )
    assert len(lines) == len(starts)


def test_a_host_that_there_is_not_is_said_once(capsys, broken_python):
    given = ["--host", "nowhere.invalid", "--insecure", "--python", broken_python]
    assert main(["run", "nothere.mar", *on_free_ports(), *given]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "nowhere.invalid" in line]) == 1
    assert any(line.startswith("eisen-serve: --host nowhere.invalid: ") for line in lines)


def test_an_interpreter_is_found_from_any_folder(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "python"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(program.parent))
    assert find_interpreter("bin/python") == str(program)
    assert find_interpreter("python") == str(program)
    assert find_interpreter("missing/python") == str(tmp_path / "missing" / "python")


def test_uvicorn_takes_what_torchserve_does_not():
    options = Options(host="::1", max_body=2**33)
    assert len(problems_of(options)) == 2
    assert problems_of(options, engine=UvicornEngine) == []
    (problem,) = UvicornEngine().find_problems(options, 2, sys.executable)
    assert "one archive" in problem
    assert "--engine torchserve" in problem


def test_a_key_that_asks_for_a_password_is_said_once(tmp_path):
    cert, key = certificate(tmp_path, trustme.KeyType.RSA)
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    (problem,) = problems_of(Options(tls_cert=cert, tls_key=key))
    assert "encrypted" in problem


@pytest.mark.parametrize(
    "content", ["", "two words", "two\nlines", '{"inference": {}}', "t\u00f6ken"]
)
def test_a_file_without_a_token_is_refused(content, tmp_path):
    path = tmp_path / "token"
    path.write_text(content, "utf-8")
    options = Options(token_auth=True, token_file=path)
    (problem,) = problems_of(options, engine=UvicornEngine)
    assert problem.startswith(f"--token-file {path}: expected one line")


def test_a_file_with_a_token(tmp_path):
    path = tmp_path / "token"
    (problem,) = problems_of(Options(token_auth=True, token_file=path), engine=UvicornEngine)
    assert "No such file" in problem
    for content in ("secret\n", '{"inference": {"key": "secret"}}'):
        path.write_text(content)
        options = Options(host="0.0.0.0", token_auth=True, token_file=path)
        assert problems_of(options, engine=UvicornEngine) == []
        (problem,) = problems_of(options)
        assert problem.startswith("--token-file: TorchServe makes its own tokens")


def test_who_names_the_file_of_a_token_asks_for_it():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = make_options(parser.parse_args(["seg.mar", "--token-file", "token"]))
    assert options.token_auth
    assert options.token_file.is_absolute()
    assert not make_options(parser.parse_args(["seg.mar"])).token_auth
