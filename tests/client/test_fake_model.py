"""A model without a server, for the tests of others."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import eisen_deploy.client as public
from eisen_deploy.client import (
    Cancellation,
    Cancelled,
    EisenClientError,
    EisenServingClient,
    InvalidInput,
    ModelFailed,
    Retries,
    ServerBusy,
    UnknownOutcome,
)
from eisen_deploy.client.testing import FakeModel

METADATA = {
    "inputs": [{"name": "image", "type": "ndarray[float32]", "shape": [-1, 2]}],
    "outputs": [{"name": "mask", "type": "ndarray", "shape": [-1, 2]}],
}
ERRORS = [each for each in vars(public).values() if hasattr(each, "advice")]


@pytest.fixture
def model():
    return FakeModel(METADATA, lambda inputs: {"mask": inputs["image"] > 0, "sum": 5})


@pytest.fixture
def make(model):
    def make(*args, **options):
        options = {"retries": Retries(3, first_delay=0), **options}
        return EisenServingClient(
            "http://user:pw@host/predictions/m", *args, transport=model, **options
        )

    return make


def test_it_answers_as_a_server_does(make, model):
    batch = {"image": np.array([[1, -1]], np.float32)}
    result = make().predict(batch)
    np.testing.assert_array_equal(result["mask"], [[True, False]])
    assert result["sum"] == 5
    assert result["mask"].flags.writeable
    (request,) = model.requests
    np.testing.assert_array_equal(request.inputs["image"], batch["image"])
    assert request.inputs["image"] is not batch["image"]
    assert request.outputs is None


def test_it_returns_its_metadata(make, model):
    assert make().get_metadata() == METADATA
    assert make().wait_ready(1) == METADATA
    assert [request.inputs for request in model.requests] == [None, None]


def test_outputs_can_be_chosen(make, model):
    assert set(make().predict({"image": np.zeros((1, 2))}, outputs=["mask"])) == {"mask"}
    assert model.requests[0].outputs == ("mask",)


@pytest.mark.parametrize(("validate", "status"), [(True, None), (False, 422)])
def test_a_batch_against_the_metadata_is_refused_either_way(validate, status, make, model):
    with pytest.raises(InvalidInput) as caught:
        make(validate).predict({"image": np.zeros((1, 3), np.float32), "more": 1})
    assert len(caught.value.problems) == 2
    assert caught.value.status == status


def test_what_cannot_travel_is_refused(make):
    with pytest.raises(InvalidInput, match="cannot be sent"):
        make().predict({"image": object()})


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_it_fails_as_configured(error, make, model):
    model.fail(error("as told", status=418), times=9)
    with pytest.raises(error, match="as told") as caught:
        make().predict({"image": np.zeros((1, 2), np.float32)})
    assert type(caught.value) is error
    assert caught.value.status == 418
    assert caught.value.endpoint == "http://host/predictions/m"
    assert caught.value.model == "m"
    assert caught.value.request_id == model.requests[0].id
    assert caught.value.inputs["image"] == ("float32", (1, 2), 8)
    assert len(model.requests) == (4 if error.retry else 1)


def test_it_recovers(make, model):
    model.fail(ServerBusy, times=2)
    assert make().predict({"image": np.ones((1, 2))})["sum"] == 5
    assert len(model.requests) == 3
    model.fail(UnknownOutcome)
    assert make().predict({"image": np.ones((1, 2))}, idempotent=True)["sum"] == 5


def test_an_error_that_is_used_twice_is_not_changed(make, model):
    error = ServerBusy("busy")
    model.fail(error, times=4)
    with pytest.raises(ServerBusy):
        make().predict({"image": np.ones((1, 2))})
    assert (error.attempts, error.endpoint) == (1, None)


@pytest.mark.parametrize("error", [ModelFailed("mine"), AssertionError("mine"), OSError("mine")])
def test_errors_of_its_function_reach_the_caller(error):
    def function(inputs):
        raise error

    client = EisenServingClient("http://host/m", transport=FakeModel({}, function))
    with pytest.raises(type(error), match="mine") as caught:
        client.predict({"x": 1})
    assert caught.value is error


def test_progress_and_cancellation_work_too(make, model):
    told, cancel = [], Cancellation()
    make().predict({"image": np.ones((1, 2))}, progress=told.append, cancel=cancel)
    assert [each.received > 0 for each in told] == [False, True]

    def fail(_):
        raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        make().predict({"image": np.ones((1, 2))}, progress=fail)
    cancel.cancel()
    with pytest.raises(Cancelled):
        make().predict({"image": np.ones((1, 2))}, cancel=cancel)
    assert len(model.requests) == 2


def test_threads_may_share_it(make, model):
    client = make()
    threads = [
        threading.Thread(target=client.predict, args=({"image": np.ones((1, 2))},))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(model.requests) == 20


def test_every_error_is_tried():
    assert len(ERRORS) == 25
    assert all(issubclass(error, EisenClientError) for error in ERRORS)
