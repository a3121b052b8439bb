"""What the documentation shows runs."""

from __future__ import annotations

import asyncio
import doctest
import importlib.util
import threading
from pathlib import Path

import pytest

import eisen_deploy.client.testing as testing_module

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@pytest.fixture
def predict():
    spec = importlib.util.spec_from_file_location("asynchronous", EXAMPLES / "asynchronous.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.predict


def test_the_example_of_the_fake_model():
    result = doctest.testmod(testing_module)
    assert result.attempted > 3
    assert result.failed == 0


def test_predictions_from_asynchronous_code(predict, serve, connect, http):
    client = connect(serve(http.echo()))

    async def main():
        return await asyncio.gather(*(predict(client, {"x": number}) for number in range(5)))

    assert asyncio.run(main()) == [{"x": number} for number in range(5)]


def test_cancelling_the_task_ends_the_request(predict, serve, connect):
    left = threading.Event()

    def script(peer):
        peer.receive()
        peer.wait_for_close()
        left.set()

    client = connect(serve(script))

    async def main():
        await asyncio.wait_for(predict(client, {"x": 1}), 0.1)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert left.wait(5)
