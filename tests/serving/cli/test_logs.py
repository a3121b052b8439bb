"""What only TorchServe's log says, as TorchServe 0.12 writes it."""

from __future__ import annotations

from eisen_deploy.serving.engines.torchserve import logs

HEAD = "2026-01-02T03:04:05,678 [INFO ] {} MODEL_LOG - "
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
    "done",
)


def written(*said, thread="W-9000-seg_1.0-stdout"):
    return "".join(f"{HEAD.format(thread)}{line}\n" for line in said)


def test_the_last_exception_of_a_models_workers():
    text = written(*TRACE) + written(*TRACE[:5], thread="W-9001-other_1.0-stderr")
    assert logs.find_exception(text, "seg_1.0") == "ValueError: no weights"
    assert logs.find_exception(text, "other_1.0") == "KeyError: 0"
    assert logs.find_exception(text, "seg_1x0") is None
    assert logs.find_exception(written("ValueError: no traceback"), "seg_1.0") is None


def test_torchserve_cannot_read_an_archive():
    text = "x [ERROR] main o.p.s.ModelServer - Failed to load model: seg.mar\n"
    text += "org.pytorch.serve.archive.model.InvalidModelException: MANIFEST.json not found.\n"
    text += "\tat org.pytorch.serve.X\n"
    assert "MANIFEST.json not found." in logs.explain_unloaded(text, "seg.mar")
    assert logs.explain_unloaded(text, "other.mar") is None


def test_torchserve_ended_a_worker_that_was_too_slow():
    thread = "x [ERROR] W-9000-seg_1.0 org.pytorch.serve.wlm.WorkerThread - "
    text = thread + "Backend worker error\norg.pytorch.serve.wlm.WorkerInitializationException: "
    text += "Backend worker did not respond in given time\n\tat x\n"
    assert logs.was_too_slow(text, "seg_1.0")
    assert not logs.was_too_slow(text, "seg_1.1")
    assert not logs.was_too_slow(text.replace("did not respond", "went"), "seg_1.0")


def test_the_server_itself():
    text = "Model server started.\nCaused by: java.net.BindException: in use\n\tat X.Error\n"
    assert logs.explain_end(text) == "Caused by: java.net.BindException: in use"
    assert logs.explain_end("one\ntwo\n") == "one | two"
    assert logs.explain_end("") is None
