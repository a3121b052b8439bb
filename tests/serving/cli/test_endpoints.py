"""The printed endpoints: command lines that a shell takes, and no token."""

from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path

import pytest

from eisen_deploy.serving.cli.endpoints import Endpoints
from eisen_deploy.serving.engines.options import Options
from eisen_deploy.serving.engines.served_archives import ServedArchive
from eisen_deploy.serving.runtime._shared.model.serving_options import ServingOptions

SAMPLE = (b"{}123", {"Content-Type": "application/octet-stream", "Some-Length": "2"})

BESIDE = {"metrics": "http://127.0.0.1:8082/metrics", "logs": "/logs"}


def archive(url_part="seg", sample=SAMPLE):
    path = Path("seg.mar")
    return ServedArchive(path, "seg", "1.2", "0" * 64, ServingOptions(), False, sample, url_part)


@pytest.fixture
def endpoints(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()

    def _make(*archives, as_json=False, **options):
        made = Endpoints(Options(**options), archives, folder, BESIDE, as_json=as_json)
        made.write_samples()
        return made

    return _make


def lines(made):
    found = [line.split(maxsplit=1) for line in made.text().splitlines() if line.startswith("  ")]
    return {label: value.strip() for label, value in found}


def test_command_lines(endpoints, tmp_path):
    found = lines(endpoints(archive()))
    url = "http://127.0.0.1:8080/predictions/seg"
    assert found["predictions"] == url
    assert found["protocol"].startswith("http://127.0.0.1:8080/v2/models/seg/infer ")
    assert shlex.split(found["metadata"])[-3:] == ["--data", "", url]
    command = shlex.split(found["its"].removeprefix("sample"))
    assert "Some-Length: 2" in command
    body = next(part for part in command if part.startswith("@"))
    assert Path(body[1:]).read_bytes() == SAMPLE[0]
    assert found["Python"] == f'EisenServingClient("{url}")'


def test_without_a_sample(endpoints):
    assert "its" not in lines(endpoints(archive(sample=None)))


def test_a_server_for_others_is_asked_on_this_machine(endpoints):
    assert "http://127.0.0.1:8080/" in lines(endpoints(archive(), host="0.0.0.0"))["predictions"]
    assert "http://10.0.0.1:8080/" in lines(endpoints(archive(), host="10.0.0.1"))["predictions"]


@pytest.mark.parametrize(
    ("host", "asked", "here"),
    [
        ("0.0.0.0", "http://0.0.0.0:9000", "http://127.0.0.1:9000"),
        ("::", "http://[::]:9000", "http://[::1]:9000"),
    ],
)
def test_the_address_that_was_asked_for_is_shown_as_well(endpoints, host, asked, here):
    told = endpoints(archive(), host=host, port=9000).text().splitlines()
    assert told[1] == f"listens on {asked}; from this machine {here}"
    as_json = endpoints(archive(), as_json=True, host=host, port=9000)
    assert json.loads(as_json.text())["listens_on"] == asked


def test_one_address_is_shown_once(endpoints):
    assert "listens on" not in endpoints(archive()).text()
    assert "listens on" not in endpoints(archive(), host="10.0.0.1").text()


def test_the_token_is_in_a_file_that_only_its_owner_reads(endpoints, tmp_path):
    made = endpoints(archive(), token_auth=True)
    made.write_token("one")
    made.write_token("SECRET")
    (file,) = (part[1:] for part in shlex.split(lines(made)["metadata"]) if part.startswith("@"))
    assert Path(file).read_text() == "Authorization: Bearer SECRET\n"
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert "SECRET" not in made.text()
    assert "key_file.json" in made.text()
    made.remove_token()
    assert not Path(file).exists()


def test_tls(endpoints, tmp_path):
    found = lines(endpoints(archive(), tls_cert=tmp_path / "c.pem", tls_key=tmp_path / "k.pem"))
    assert found["predictions"].startswith("https://")
    assert ["--cacert", str(tmp_path / "c.pem")] == shlex.split(found["metadata"])[3:5]
    assert f"verify={str(tmp_path / 'c.pem')!r}" in found["Python"]


def test_json(endpoints):
    told = json.loads(endpoints(archive("seg/1.2"), archive("seg/2"), as_json=True).text())
    assert [model["predictions"] for model in told["models"]] == [
        "http://127.0.0.1:8080/predictions/seg/1.2",
        "http://127.0.0.1:8080/predictions/seg/2",
    ]
    assert told["models"][0]["protocol"] is None
    assert told["key_file"] is None
    assert told["metrics"] == "http://127.0.0.1:8082/metrics"


def test_the_python_line_reads_the_token_from_the_file_that_was_named(endpoints, tmp_path):
    named = tmp_path / "token"
    made = endpoints(archive(), token_auth=True, token_file=named)
    assert f"token=Path({str(named)!r})" in lines(made)["Python"]
    made = endpoints(archive(), as_json=True, token_auth=True, token_file=named)
    assert json.loads(made.text())["key_file"] == str(named)
