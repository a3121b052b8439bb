"""The texts of errors that user code raises: withheld, unless who starts the server shows them."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from eisen_deploy.serving.runtime.answering import error_texts

SHOWN = "inference raised ValueError: secret value 31337000.0 (conftest.py, line "


@pytest.fixture
def failing():
    """A batch that the model refuses with a text that has its values."""
    return {"x": np.full((1, 2), 31337000.0)}


def shown(monkeypatch, value="1"):
    monkeypatch.setenv("EISEN_SHOW_ERRORS", value)


def test_a_text_is_in_the_reply_and_with_its_trace_in_the_log(
    monkeypatch, request, failing, caplog
):
    shown(monkeypatch)
    worker = request.getfixturevalue("worker")
    assert "EISEN_SHOW_ERRORS: replies and this log have the texts of errors" in caplog.text
    answer = worker.predict(failing)
    assert answer.status == 500
    assert answer.json["type"] == "ModelFailed"
    assert answer.json["message"].startswith(SHOWN)
    assert answer.json["problems"] == [answer.json["message"]]
    assert "Traceback (most recent call last):" in caplog.text
    assert "in forward" in caplog.text
    assert "ValueError: secret value 31337000.0" in caplog.text


@pytest.mark.parametrize("value", ["", "0", "true", None])
def test_any_other_value_of_the_variable_shows_nothing(
    monkeypatch, request, failing, caplog, value
):
    monkeypatch.delenv("EISEN_SHOW_ERRORS", raising=False)
    if value is not None:
        shown(monkeypatch, value)
    with caplog.at_level(logging.DEBUG):
        answer = request.getfixturevalue("worker").predict(failing)
    assert answer.json["message"] == "inference raised ValueError; the log shows where"
    assert "EISEN_SHOW_ERRORS" not in caplog.text
    assert "secret value 3" not in caplog.text


def test_it_is_settled_when_the_archive_is_opened(monkeypatch, worker, failing):
    shown(monkeypatch)
    assert worker.predict(failing).json["message"].endswith("; the log shows where")


def test_other_requests_and_refusals_are_as_ever(monkeypatch, request, ones):
    shown(monkeypatch)
    worker = request.getfixturevalue("worker")
    assert worker.predict({"x": np.ones((1, 3))}).json["type"] == "InvalidInput"
    np.testing.assert_array_equal(worker.predict({"x": ones}).outputs["y"], 2 * ones + 1)


def raised(error):
    try:
        raise error
    except type(error) as found:  # it has a traceback now
        return found


def test_a_missing_key_is_described_by_those_that_were_there():
    text = error_texts.describe("post_process", raised(KeyError("mask")), {"image": 1, "logits": 2})
    assert text.startswith("post_process raised KeyError: 'mask' (test_error_texts.py, line ")
    assert text.endswith("); it was given the keys image, logits")


def test_the_line_is_that_of_the_users_code_and_not_of_a_library():
    with pytest.raises(ValueError, match="need at least one array") as caught:
        np.stack([])
    assert "(test_error_texts.py, line " in error_texts.describe("inference", caught.value)


def test_a_text_is_cut_off_and_one_that_cannot_be_read_does_no_harm():
    class Unreadable(Exception):
        def __str__(self):
            raise RuntimeError

    assert len(error_texts.describe("decode", ValueError("x" * 10**6))) < 5000
    assert error_texts.describe("decode", Unreadable()) == (
        "decode raised Unreadable: its text cannot be read, for it raises RuntimeError"
    )
