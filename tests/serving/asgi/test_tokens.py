"""Only who sends the token gets an answer; probes need none."""

from __future__ import annotations

import json
import os

import pytest

WRONG = ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"})
WRONG += ({"Authorization": "Basic secret"}, {"Authorization": "secret"})
WRONG += ({"Authorization": "Bearer secret2"}, {"Authorization": "Bearer s\xe9cret"})


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("secret\n")
    return path


@pytest.mark.parametrize("headers", WRONG)
@pytest.mark.parametrize("path", ["/predictions/seg", "/predictions/other", "/nothing"])
def test_nobody_gets_in_without_it(serve, token_file, headers, path):
    status, answer, error = serve(token_file=token_file).ask("POST", path, **headers)
    assert status == 401, error
    assert error["type"] == "Unauthorized"
    assert answer["www-authenticate"] == "Bearer"
    assert "secret" not in json.dumps(error)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_who_sends_it_gets_the_answer(serve, token_file, scheme):
    status, _, body = serve(token_file=token_file).ask(Authorization=f"{scheme} secret")
    assert (status, body) == (200, b"x")


@pytest.mark.parametrize("path", ["/ping", "/v2/health/live", "/v2/health/ready"])
def test_probes_need_none(serve, token_file, path):
    assert serve(token_file=token_file).ask("GET", path, None)[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/v2/models/seg", "/v2"])
def test_what_says_more_needs_it(serve, token_file, path):
    assert serve(token_file=token_file).ask("GET", path, None)[0] == 401


def test_a_new_token_holds_at_once(serve, token_file, tmp_path):
    served = serve(token_file=token_file)
    new = tmp_path / "new"
    new.write_text(json.dumps({"inference": {"key": "other"}, "management": {"key": "secret"}}))
    os.replace(new, token_file)  # noqa: PTH105
    assert served.ask(Authorization="Bearer secret")[0] == 401
    assert served.ask(Authorization="Bearer other")[0] == 200


@pytest.mark.parametrize("content", ["", "\n", "{}", "{", '{"inference": {"key": ""}}'])
def test_a_file_without_a_token_lets_nobody_in(serve, token_file, content):
    token_file.write_text(content)
    served = serve(token_file=token_file)
    for header in ("Bearer ", "Bearer", "Bearer secret"):
        assert served.ask(Authorization=header)[0] == 401


@pytest.mark.parametrize("path", ["/v2/models/other/ready", "/v2/models/seg/versions/9/ready"])
def test_a_probe_does_not_say_what_is_served(serve, token_file, path):
    status, _, error = serve(token_file=token_file).ask("GET", path, None)
    assert status == 401
    assert "seg" not in json.dumps(error)
