"""The tree of errors itself."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

import eisen_deploy.client as public
from eisen_deploy.client import (
    EisenClientError,
    EisenServingClient,
    InputSummary,
    InvalidInput,
    _errors,
)

ERRORS = [
    value
    for value in vars(_errors).values()
    if isinstance(value, type) and issubclass(value, EisenClientError)
]
FACTS = {
    "retry": True,
    "executed": True,
    "advice": "do this",
    "endpoint": "http://host/m",
    "model": "m",
    "inputs": {"image": InputSummary("float32", (2, 3), 24)},
    "stage": "waiting",
    "attempts": 2,
    "first_failure": "ServerBusy: no",
    "retry_after": 2.5,
    "status": 422,
    "type": "InvalidInput",
    "server_message": "no",
    "request_size": 12,
    "request_id": "r-1",
    "problems": ("image: is missing", "age: is missing"),
}


def test_every_error_is_public():
    others = {"Cancellation", "EisenServingClient", "InputSummary", "ModelIdentity", "Prediction"}
    others |= {"Progress", "Retries"}
    assert {error.__name__ for error in ERRORS} | others == set(public.__all__)
    assert sorted(public.__all__) == list(public.__all__)
    assert all(getattr(public, error.__name__) is error for error in ERRORS)


def test_the_drawn_tree_is_the_tree():
    drawn: list[tuple[int, str, bool]] = []
    for line in _errors.__doc__.split("::")[1].splitlines():
        match = re.match(r"( {4}[│├└─ ]*)(\w+)", line)
        if match:
            drawn.append((len(match[1]), match[2], "[retry]" in line))
    assert sorted(name for _, name, _ in drawn) == sorted(error.__name__ for error in ERRORS)
    for index, (depth, name, retry) in enumerate(drawn[1:], 1):
        parent = next(above for left, above, _ in reversed(drawn[:index]) if left < depth)
        error = getattr(_errors, name)
        assert error.__bases__[0].__name__ == parent
        assert error.retry is retry, name


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_survives_pickling_and_copying(error):
    made = error("what happened", **FACTS)
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert type(again) is error
        assert str(again) == str(made)
        assert str(made) == (
            "http://host/m: what happened (attempt 2; the first ended with ServerBusy: no); do this"
        )
        assert repr(again) == repr(made)
        assert {name: getattr(again, name) for name in FACTS} == FACTS


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_can_be_raised_with_a_message_alone(error):
    with pytest.raises(error, match=r"^what happened") as caught:
        raise error("what happened")
    assert str(caught.value) == "; ".join(filter(None, ["what happened", error.advice]))
    assert (caught.value.retry, caught.value.executed) == (error.retry, error.executed)
    others = set(FACTS) - {"retry", "executed", "advice", "attempts", "inputs"}
    assert all(getattr(caught.value, name) in (None, ()) for name in others)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_says_what_to_do(error):
    assert error is EisenClientError or error.advice
    assert not error.retry or error.executed is False


def test_an_error_takes_no_unknown_facts():
    with pytest.raises(TypeError, match="no such attribute: statis"):
        EisenClientError("what happened", statis=5)


def test_repr_shows_the_facts():
    assert repr(InvalidInput("no", advice="", status=422, type="T")) == (
        "InvalidInput('no', status=422, type='T', executed=False, retry=False)"
    )


def test_errors_are_also_what_python_calls_such_things():
    assert issubclass(public.DeadlineExceeded, TimeoutError)
    assert issubclass(public.ConnectionFailed, ConnectionError)
    assert issubclass(public.InvalidInput, ValueError)


def test_an_error_knows_what_was_asked_and_how_much_was_sent(serve, connect, http):
    server = serve(http.always(http.error(500, "ModelFailed")))
    client: EisenServingClient = connect(server)
    with pytest.raises(public.ModelFailed) as caught:
        client.predict({"x": bytes_of(1000)})
    assert caught.value.endpoint == server.url
    assert caught.value.request_size == len(server.seen[0].body)
    with pytest.raises(public.ModelFailed) as caught:
        client.get_metadata()
    assert caught.value.endpoint == server.url
    assert caught.value.request_size == 0


def bytes_of(count):
    import numpy as np

    return np.zeros(count, np.uint8)


def test_many_problems_make_a_message_of_bounded_length():
    batch = {f"{'x' * 100}{number}": object() for number in range(10_000)}
    with pytest.raises(InvalidInput) as caught:
        EisenServingClient("http://127.0.0.1:9/m").predict(batch)
    assert len(caught.value.problems) == 10_000
    assert len(str(caught.value)) < 5_000
    assert "10000 problems in all" in str(caught.value)
