"""TorchServe's lines for each batch: one a second of each kind, and no other line is lost."""

from __future__ import annotations

import logging

import pytest

from eisen_deploy.serving.runtime.torchserve import worker_log

BATCH = "Backend received inference at: %d"
TIME = "[METRICS]PredictionTime.Milliseconds:0.2|#ModelName:m,Level:Model|#type:GAUGE"


@pytest.fixture
def lines(monkeypatch):
    """What the loggers write; they are as before when the test ends."""
    worker_log.install()
    written = []

    class Written(logging.Handler):
        def emit(self, record):
            written.append(record.getMessage())

    root = logging.getLogger()
    handler, level = Written(), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)
    for name in worker_log.LINES:
        logger = logging.getLogger(name)
        for each in list(logger.filters):
            if isinstance(each, worker_log.Sparing):
                logger.removeFilter(each)


def say_both(count):
    for number in range(count):
        logging.info(BATCH, number)  # noqa: LOG015 - as TorchServe does
        logging.getLogger("ts.metrics.caching_metric").info(TIME)


def test_a_line_of_each_kind_is_written_once_a_second(lines, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(worker_log.time, "monotonic", lambda: now)
    say_both(5)
    assert lines == [BATCH % 0, TIME]
    now += worker_log.INTERVAL - 0.01
    say_both(5)
    assert len(lines) == 2
    now += 0.01
    say_both(5)
    assert lines[2:] == [BATCH % 0, TIME]


def test_every_other_line_is_written(lines):
    user, metric = logging.getLogger("user"), logging.getLogger("ts.metrics.caching_metric")
    for number in range(3):
        user.info(BATCH, number)
        metric.info("[METRICS]Mine.Count:%d|#Level:Model", number)
        logging.info("Frontend disconnected.")  # noqa: LOG015 - as TorchServe does
        logging.info(number)  # noqa: LOG015 - a message that is no text
    assert len(lines) == 12


def test_it_is_installed_once(lines):
    worker_log.install()
    worker_log.install()
    say_both(2)
    assert len(lines) == 2
    for name in worker_log.LINES:
        found = [type(each) for each in logging.getLogger(name).filters]
        assert found.count(worker_log.Sparing) == 1
