from __future__ import annotations

import tracemalloc

import pytest


@pytest.fixture
def peak_of():
    """A function that makes a call and returns its value and the most bytes that it took."""

    def measure(call):
        tracemalloc.start()
        try:
            return call(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measure
