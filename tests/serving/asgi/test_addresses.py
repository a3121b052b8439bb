"""Which address is what, and who may ask it."""

from __future__ import annotations

import pytest

from eisen_deploy.serving.engines.asgi.addresses import Address, Kind, parse_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/predictions/seg", Address(Kind.PREDICTION, "seg")),
        ("/predictions/seg/2.0", Address(Kind.PREDICTION, "seg", "2.0")),
        ("/v2/models/seg/infer", Address(Kind.PREDICTION, "seg")),
        ("/v2/models/seg/versions/2.0/infer", Address(Kind.PREDICTION, "seg", "2.0")),
        ("/v2/models/seg", Address(Kind.MODEL, "seg")),
        ("/v2/models/seg/versions/2.0", Address(Kind.MODEL, "seg", "2.0")),
        ("/v2/models/seg/ready", Address(Kind.MODEL_READY, "seg")),
        ("/v2/models/seg/versions/2.0/ready", Address(Kind.MODEL_READY, "seg", "2.0")),
        ("/v2", Address(Kind.SERVER)),
        ("/v2/", Address(Kind.SERVER)),
        ("/ping", Address(Kind.PING)),
        ("/", None),
        ("/predictions", None),
        ("/predictions/seg/2.0/more", None),
        ("/predictions//seg", None),
        ("/explanations/seg", None),
        ("/v2/models/seg/versions/infer", Address(Kind.MODEL, "seg", "infer")),
    ],
)
def test_a_path_means_one_thing(path, expected):
    assert parse_path(path) == expected


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("POST", "/predictions/other", 404, "NotFound"),
        ("POST", "/predictions/seg/1.0", 404, "NotFound"),
        ("GET", "/v2/models/other/ready", 404, "NotFound"),
        ("POST", "/explanations/seg", 404, "NotFound"),
        ("DELETE", "/predictions/seg", 405, "MethodNotAllowed"),
        ("POST", "/v2/models/seg", 405, "MethodNotAllowed"),
    ],
)
def test_what_is_not_here_is_a_typed_error(serve, method, path, status, kind):
    got, headers, error = serve().ask(method, path)
    assert (got, error["type"], error["code"]) == (status, kind, status)
    assert headers["content-type"] == "application/json"
    assert error["error"] == error["message"]
    assert error["problems"] == [error["message"]]


def test_the_server_describes_itself(serve):
    served = serve()

    def get(path):
        return served.ask("GET", path, None)[2]

    assert get("/v2")["extensions"] == ["binary_tensor_data"]
    assert get("/v2/health/live") == {"live": True}
    assert get("/v2/health/ready") == {"ready": True}
    assert get("/v2/models/seg/ready") == {"name": "seg", "ready": True}
    assert get("/v2/models/seg")["versions"] == ["2.0"]
    assert get("/openapi.json")["openapi"] == "3.1.0"
    assert get("/metrics") == b"numbers 1\n"
    assert served.ask("HEAD", "/ping", None)[::2] == (200, b"")


def test_a_server_that_stops_is_not_ready(serve):
    served = serve()
    served.batcher.close()
    for path in ("/v2/health/ready", "/v2/models/seg/ready", "/ping"):
        assert served.ask("GET", path, None)[0] == 503
    assert served.ask("GET", "/v2/health/live", None)[0] == 200
    status, headers, error = served.ask()
    assert (status, error["type"]) == (503, "NotExecuted")
    assert headers["retry-after"] == "1"
