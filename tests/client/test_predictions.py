"""What a prediction says of the model that made it, and that it is a dict like any other."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from eisen_deploy.client import EisenServingClient, ModelIdentity, Prediction
from eisen_deploy.client.testing import FakeModel

DIGEST = "0123456789abcdef" * 4
MODEL = ModelIdentity("seg", "1.0", DIGEST)


def headers(**changed):
    named = {
        "Eisen-Model-Name": "seg",
        "Eisen-Model-Version": "1.0",
        "Eisen-Archive-Digest": f"sha-256={DIGEST}",
        **changed,
    }
    return {name: value for name, value in named.items() if value is not None}


@pytest.fixture
def ask(serve, http):
    """Return the prediction of a server whose reply has these headers."""

    def predict(sent, answer=None):
        server = serve(http.always(answer or http.oip({"y": 1}, sent)))
        with EisenServingClient(server.url) as client:
            return client.predict({"x": 1})

    return predict


def test_a_reply_names_its_model(ask):
    reply = ask({**headers(), "x-request-id": "of-the-server"})
    assert reply == {"y": 1}
    assert reply.model == MODEL
    assert reply.request_id == "of-the-server"


def test_the_body_names_it_where_the_headers_do_not(ask):
    """A proxy may have taken them, and a foreign server has none."""
    reply = ask({})
    assert reply.model == ModelIdentity("seg", "1.0", None)
    assert reply.request_id


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("Eisen-Model-Version", "1 0", "version"),
        ("Eisen-Model-Version", "1" * 128, "version"),
        ("Eisen-Archive-Digest", DIGEST, "digest"),
        ("Eisen-Archive-Digest", f"sha-256={DIGEST}0", "digest"),
        ("Eisen-Archive-Digest", f"sha-256={DIGEST.upper()}", "digest"),
        ("Eisen-Archive-Digest", f"md5={DIGEST}", "digest"),
    ],
)
def test_values_that_are_not_names_are_ignored(ask, name, value, field):
    expected = MODEL._replace(**{field: "1.0" if field == "version" else None})
    assert ask(headers(**{name: value})).model == expected


def test_a_server_that_says_nothing(ask, http):
    body = b'{"outputs": [{"name": "y", "datatype": "INT64", "shape": [1], "data": [1]}]}'
    answer = http.reply(200, {"Content-Type": "application/json"}, body)
    assert ask({}, answer).model == ModelIdentity(None, None, None)


def test_a_prediction_is_a_dict():
    model = FakeModel({}, lambda inputs: {"y": inputs["x"] + 1}, model=MODEL)
    client = EisenServingClient("http://test/predictions/seg", transport=model)
    reply = client.predict({"x": 1})
    assert isinstance(reply, dict)
    assert reply == {"y": 2}
    assert json.loads(json.dumps(reply)) == {"y": 2}
    assert {**reply} == dict(reply) == reply.copy() == {"y": 2}
    assert repr(reply) == "{'y': 2}"
    for again in (copy.copy(reply), copy.deepcopy(reply), pickle.loads(pickle.dumps(reply))):
        assert again == reply
        assert (again.model, again.request_id) == (MODEL, reply.request_id)
    (many,) = client.predict_many([{"x": 1}])
    assert many.model == MODEL
    with pytest.raises(AttributeError):
        reply.model.name = "other"


def test_a_prediction_made_by_hand():
    assert Prediction({"y": 1}).model == ModelIdentity()
    assert Prediction() == Prediction({}) == {}
    assert Prediction([("y", 1)]) == {"y": 1}
    assert Prediction({"y": 1}, model=MODEL, request_id="a").request_id == "a"


def test_a_fake_model_names_no_model_by_default():
    client = EisenServingClient("http://test/", transport=FakeModel({}, lambda _: {"y": 1}))
    assert client.predict({"x": 1}).model == ModelIdentity()
