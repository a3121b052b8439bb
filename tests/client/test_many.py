"""Many batches: in order, a bounded number at a time, and nothing is left running."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from eisen_deploy.client import (
    Cancellation,
    Cancelled,
    DeadlineExceeded,
    EisenServingClient,
    InvalidInput,
    ModelFailed,
    Prediction,
)
from eisen_deploy.client.testing import FakeModel


def threads():
    return [each for each in threading.enumerate() if each.name == "eisen-client-batch"]


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    end = time.monotonic() + 2
    while any(
        each.name in ("eisen-client-call", "eisen-client-batch") for each in threading.enumerate()
    ):
        assert time.monotonic() < end
        time.sleep(0.01)


class Source:
    """Batches numbered from 0, which counts how many were taken."""

    def __init__(self, count=None):
        self.taken = 0
        self._numbers = itertools.count() if count is None else range(count)

    def __iter__(self):
        for number in self._numbers:
            self.taken += 1
            yield {"x": number}


def fake(function=lambda inputs: inputs):
    return EisenServingClient("http://host/m", retries=0, transport=FakeModel({}, function))


@pytest.fixture
def jumbled(serve, connect, http):
    """A client of a server that answers in no order."""

    def script(peer):
        while (request := peer.receive()) is not None:
            inputs = request.decode().inputs
            time.sleep(0.02 * (inputs["x"] % 3))
            peer.send(http.oip(inputs))

    return connect(serve(script))


@pytest.mark.parametrize("workers", [1, 3, 20])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_results_are_in_the_order_of_the_batches(workers, count, jumbled):
    results = list(jumbled.predict_many(Source(count), workers=workers))
    assert results == [{"x": number} for number in range(count)]
    assert threads() == []


@pytest.mark.parametrize("workers", [1, 4])
def test_requests_are_under_way_at_the_same_time_but_no_more_than_asked(workers):
    now, most, lock = [0], [0], threading.Lock()

    def function(inputs):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return inputs

    list(fake(function).predict_many(Source(12), workers=workers))
    assert most[0] == workers


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_taken_only_as_results_are_consumed(workers):
    source = Source()
    results = fake().predict_many(source, workers=workers)
    assert source.taken == 0
    for consumed in range(10):
        assert next(results) == {"x": consumed}
        assert source.taken <= consumed + 1 + workers
    results.close()


def test_batches_are_taken_on_the_thread_that_consumes():
    takers = set()

    def batches():
        for number in range(5):
            takers.add(threading.current_thread())
            yield {"x": number}

    list(fake().predict_many(batches()))
    assert takers == {threading.current_thread()}


def test_finished_batches_are_released():
    """Neither batches nor results pile up."""
    import weakref

    arrays = []

    def batches():
        for _ in range(20):
            value = np.zeros(3)
            arrays.append(weakref.ref(value))
            yield {"x": value}
            del value

    for _ in fake().predict_many(batches(), workers=2):
        assert sum(each() is not None for each in arrays) <= 4


def failing(inputs):
    if inputs["x"] == 3:
        raise ModelFailed("three")
    return inputs


def test_an_error_is_raised_in_its_place_and_ends_the_rest():
    source = Source()
    results = fake(failing).predict_many(source, workers=3)
    assert [next(results)["x"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ModelFailed, match="three"):
        next(results)
    assert source.taken <= 7
    assert list(results) == []
    assert threads() == []


def test_an_error_can_be_had_in_place_of_its_result():
    results = list(fake(failing).predict_many(Source(6), workers=3, return_errors=True))
    error = results.pop(3)
    assert [result["x"] for result in results] == [0, 1, 2, 4, 5]
    assert type(error) is ModelFailed
    assert error.inputs["x"].dtype == "json"
    assert error.__traceback__ is None


def test_other_errors_than_the_clients_are_raised_even_then():
    def function(inputs):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(fake(function).predict_many(Source(3), return_errors=True))


def test_an_iterable_that_fails_fails_in_its_place():
    def batches():
        yield {"x": 0}
        yield {"x": 1}
        raise OSError("no more slices")

    results = fake().predict_many(batches(), workers=4, return_errors=True)
    assert [next(results), next(results)] == [{"x": 0}, {"x": 1}]
    with pytest.raises(OSError, match="no more slices"):
        next(results)
    assert list(results) == []


def test_closing_early_ends_what_is_under_way(serve, connect, http):
    server = serve(lambda peer: (peer.receive(), peer.wait_for_close()))
    answered = serve(http.echo())
    client = connect(answered)
    results = client.predict_many(Source(), workers=2)
    assert next(results) == {"x": 0}
    answered.script = server.script
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 1
    assert threads() == []


@pytest.mark.parametrize("way", ["client", "context", "cancellation"])
def test_all_is_ended_from_outside(way, serve, connect):
    server = serve(lambda peer: (peer.receive(), peer.wait_for_close()))
    client, cancel = connect(server), Cancellation()
    results = client.predict_many(Source(), workers=2, cancel=cancel, return_errors=True)
    end = {
        "client": client.close,
        "context": lambda: client.__exit__(None, None, None),
        "cancellation": cancel.cancel,
    }[way]
    timer = threading.Timer(0.15, end)
    timer.start()
    with pytest.raises(Cancelled):
        next(results)
    timer.join()
    assert list(results) == []
    assert threads() == []


def test_a_closed_client_still_has_results_of_a_new_iteration(serve, connect, http):
    client = connect(serve(http.echo()))
    client.close()
    assert len(list(client.predict_many(Source(3)))) == 3


def test_each_batch_has_a_deadline_of_its_own(serve, connect, http):
    def script(peer):
        while (request := peer.receive()) is not None:
            inputs = request.decode().inputs
            time.sleep(0.6 if inputs["x"] == 5 else 0.15)
            peer.send(http.oip(inputs))

    client = connect(serve(script))
    results = list(
        client.predict_many(Source(6), workers=1, timeout=0.4, return_errors=True)
    )  # together they take longer
    assert [type(result) for result in results] == [Prediction] * 5 + [DeadlineExceeded]


def test_options_are_those_of_predict(serve, connect, http):
    metadata = {"inputs": [{"name": "x", "type": "int", "shape": []}], "outputs": []}
    server = serve(http.echo(metadata))
    client = connect(server, True)
    assert list(client.predict_many([{"x": 1}, {"x": 2}], outputs=iter(["x"]))) == [
        {"x": 1},
        {"x": 2},
    ]
    assert [r.decode().outputs for r in server.seen if r.body] == [("x",), ("x",)]
    with pytest.raises(InvalidInput, match="is not an input"):
        list(client.predict_many([{"y": 1}]))


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, None])
def test_workers_are_a_number(workers):
    with pytest.raises(ValueError, match="workers must be"):
        fake().predict_many([], workers=workers)


def test_wrong_arguments_are_reported_at_once():
    with pytest.raises(ValueError, match="timeout must be"):
        fake().predict_many([], timeout=0)
    with pytest.raises(TypeError):
        fake().predict_many(5)


def test_an_iteration_that_never_began_starts_nothing():
    source = Source()
    fake().predict_many(source)
    assert source.taken == 0
    assert threads() == []
