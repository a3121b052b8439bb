"""Why a model does not load, from logs as TorchServe 0.12 writes them."""

from __future__ import annotations

import pytest

from eisen_deploy.serving.engines.torchserve import logs

HEAD = "2026-01-02T03:04:05,678 [INFO ] W-9000-seg_1.0-stdout MODEL_LOG - "


def written(*said, thread="W-9000-seg_1.0-stdout"):
    return "".join(f"{HEAD.replace('W-9000-seg_1.0-stdout', thread)}{line}\n" for line in said)


BORN = ("s_name_part0=/tmp/.ts.sock, s_name_part1=9000, pid=41", "Listening on port: /tmp/x")
TRACE = (
    "Backend worker process died.",
    "Traceback (most recent call last):",
    '  File "/tmp/worker.py", line 3, in load',
    "    weights[0]",
    "KeyError: 0",
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    "Traceback (most recent call last):",
    '  File "/tmp/worker.py", line 5, in load',
    "ValueError: no weights",
)


def test_lives_are_told_apart():
    text = written(*BORN, "[PID]41", *TRACE) + written(*BORN, "[PID]52")
    text += written(*BORN, "[PID]60", thread="W-9001-seg_1.0-stdout")
    text += written(*BORN, "[PID]70", thread="W-9002-other_1.0-stdout")
    found = logs.lives(text, "seg_1.0")
    assert [(life.thread, life.pid) for life in found] == [("9000", 41), ("9000", 52), ("9001", 60)]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (TRACE, "ValueError: no weights"),
        (("archive refused: model.pt is missing", *TRACE), "model.pt is missing"),
        (
            ("Failed to load model seg, exception so", "archive refused: model.pt is missing"),
            "model.pt is missing",
        ),
        (
            (
                "Load model seg cpu OOM, exception ",
                "Traceback (most recent call last):",
                "MemoryError",
                "Traceback (most recent call last):",
                "RuntimeError: 507 - System out of memory",
            ),
            "MemoryError",
        ),
        (
            (
                "Failed to load model seg, exception no such layer",
                "Traceback (most recent call last):",
                "RuntimeError: no such layer",
                "Traceback (most recent call last):",
                "RuntimeError: 500 - Unknown exception",
            ),
            "RuntimeError: no such layer",
        ),
        (
            (
                "Fatal Python error: Segmentation fault",
                "",
                "Thread 0x1 (most recent call first):",
                '  File "/a/other.py", line 1 in wait',
                "",
                "Current thread 0x2 (most recent call first):",
                '  File "/a/net.py", line 7 in forward',
                '  File "/a/torch.py", line 9 in call',
                "",
            ),
            "the worker crashed: Segmentation fault at net.py:7 in forward, torch.py:9 in call",
        ),
    ],
)
def test_a_cause_in_the_models_own_words(said, cause):
    (life,) = logs.lives(written(*BORN, "[PID]41", *said), "seg_1.0")
    assert logs.cause(life) == cause


def test_who_says_nothing_has_no_cause():
    (life,) = logs.lives(written(*BORN, "[PID]41", "loading: done"), "seg_1.0")
    assert logs.cause(life) is None
    assert logs.refusal_of(life) is None


def test_a_traceback_is_no_refusal():
    """A model may log one and go on."""
    (life,) = logs.lives(written(*BORN, "[PID]41", *TRACE), "seg_1.0")
    assert logs.refusal_of(life) is None


def test_torchserve_cannot_read_an_archive():
    text = "x [ERROR] main o.p.s.ModelServer - Failed to load model: seg.mar\n"
    text += "org.pytorch.serve.archive.model.InvalidModelException: MANIFEST.json not found.\n"
    text += "\tat org.pytorch.serve.X\n"
    assert "MANIFEST.json not found." in logs.unloaded(text, "seg.mar")
    assert logs.unloaded(text, "other.mar") is None
    assert "seg.mar" in logs.refusal(text)


def test_torchserve_ended_a_worker_that_was_too_slow():
    thread = "x [ERROR] W-9000-seg_1.0 org.pytorch.serve.wlm.WorkerThread - "
    text = thread + "Backend worker error\norg.pytorch.serve.wlm.WorkerInitializationException: "
    text += "Backend worker did not respond in given time\n\tat x\n"
    assert logs.was_too_slow(text, "seg_1.0")
    assert not logs.was_too_slow(text, "seg_1.1")
    assert not logs.was_too_slow(text.replace("did not respond", "went"), "seg_1.0")


def test_the_server_itself():
    text = "Model server started.\nCaused by: java.net.BindException: in use\n\tat X.Error\n"
    assert logs.of_server(text) == "Caused by: java.net.BindException: in use"
    assert logs.of_server("one\ntwo\n") == "one | two"
    assert logs.of_server("") is None
