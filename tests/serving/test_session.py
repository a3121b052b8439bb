"""The seam: an archive opened and asked where there is no server at all."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from eisen_deploy.serving.runtime._shared.wire import protocol
from eisen_deploy.serving.runtime.answering.interrupts import ThreadInterrupt
from eisen_deploy.serving.runtime.answering.limits import Limits
from eisen_deploy.serving.runtime.errors import LoadFailed
from eisen_deploy.serving.runtime.messages import Request
from eisen_deploy.serving.runtime.session import Context, InferenceSession

ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from _eisen_serving.messages import Request
from _eisen_serving.session import InferenceSession

early = "torch" in sys.modules or "numpy" in sys.modules
session = InferenceSession.open(Path(sys.argv[1]))
body = Request({"content-type": "application/json"}, b'{"x": [[1, 2]]}')
replies = session.answer([body, body])
found = {
    "early": early,
    "replies": [json.loads(reply.body) for reply in replies],
    "adapter": [name for name in sys.modules if ".torchserve." in name],
    "installed": [name for name in sys.modules if name.startswith("eisen_deploy.serving.")],
}
print(json.dumps(found))
"""


def ask_alone(folder):
    command = [sys.executable, "-B", "-c", ASK, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_session_answers_in_a_process_without_torchserve(unpack, affine):
    """In a process of its own, from the archive alone."""
    assert ask_alone(unpack(torch.nn.Identity(), affine[1])) == {
        "early": False,
        "replies": 2 * [{"y": [[1.0, 2.0]]}],
        "adapter": [],
        "installed": [],
    }


HANDLER = """
from eisen_deploy.serving import EisenServingHandler, InvalidInput

class Doubling(EisenServingHandler):
    def post_process(self, output_dict):
        if float(output_dict["y"].max()) > 9:
            raise InvalidInput("too large")
        return {"y": 2 * output_dict["y"]}
"""


@pytest.mark.slow
def test_a_subclass_finds_its_base_where_nothing_of_ours_is_installed(unpack, affine, tmp_path):
    (tmp_path / "doubling.py").write_text(HANDLER)
    folder = unpack(torch.nn.Identity(), affine[1], handler=tmp_path / "doubling.py")
    found = ask_alone(folder)
    assert found["replies"] == 2 * [{"y": [[2.0, 4.0]]}]
    assert found["installed"] == []


def ask(session, *rows):
    bodies = [protocol.encode_request({"x": np.float32([row])}) for row in rows]
    return session.answer(
        [
            Request(
                {name.lower(): value for name, value in body.headers.items()},
                bytearray(b"".join(body.buffers)),
            )
            for body in bodies
        ]
    )


def test_limits_follow_from_the_archives_options(unpack, affine):
    folder = unpack(affine[0](), affine[1], serving={"response_timeout": 30})
    seen = []

    def limits(options):
        seen.append(options.response_timeout)
        return Limits(reply=10, reply_setting="the door is 10 bytes wide")

    (reply,) = ask(InferenceSession.open(folder, limits=limits), [1, 2])
    assert seen == [30]
    assert reply.status == 413
    assert "and the door is 10 bytes wide: raise it" in json.loads(reply.body)["message"]


class EndlessFrom100(torch.nn.Module):
    """y = x; for numbers above a hundred it does not come back."""

    def forward(self, x):
        while bool((x > 100).any()):
            pass
        return x


def test_a_session_that_answers_on_another_thread_ends_what_takes_too_long(unpack, affine):
    """Whoever was late gets a 504, whoever waited a 503, and the next request its answer."""
    limits = Limits(seconds=0.1, seconds_setting="the door closes early")
    session = InferenceSession.open(
        unpack(EndlessFrom100(), affine[1]), limits=lambda _: limits, interrupt=ThreadInterrupt()
    )
    with ThreadPoolExecutor(1) as threads:
        for _ in range(3):
            replies = threads.submit(ask, session, [1, 2], [1, 101], [3, 4]).result(60)
            assert [reply.status for reply in replies] == [200, 504, 503]
            (reply,) = threads.submit(ask, session, [5, 6]).result(60)
            assert reply.status == 200


def test_each_batch_is_counted(affine_folder):
    class Counters:
        def count(self, requests, seconds):
            counted.append((requests, set(seconds)))

    counted = []
    session = InferenceSession.open(affine_folder, counters=Counters())
    replies = ask(session, [1, 2], [3, 4])
    ((requests, stages),) = counted
    assert [outcome for outcome, _, _ in requests] == ["ok", "ok"]
    assert [sent for _, _, sent in requests] == [reply.size for reply in replies]
    assert {"decode", "inference", "encode"} <= stages


def test_the_session_says_why_requests_run_one_by_one(affine_folder):
    assert InferenceSession.open(affine_folder).batch_problem is not None


def test_nothing_is_read_before_it_is_verified(affine_folder):
    """The context of ``initialize`` holds the manifest."""
    (affine_folder / "MAR-INF" / "MANIFEST.json").write_text("{")
    with pytest.raises(LoadFailed, match=r"MANIFEST\.json"):
        InferenceSession.open(affine_folder)


def test_a_folder_that_is_no_archive(tmp_path, caplog):
    with pytest.raises(LoadFailed):
        InferenceSession.open(tmp_path)
    assert caplog.messages[-1].startswith("archive refused: ")


def test_the_context_has_the_form_that_is_documented(affine_folder):
    """What a handler's ``initialize`` finds in TorchServe's context, it finds here."""
    from ts.context import Context as OfTorchServe

    manifest = json.loads((affine_folder / "MAR-INF" / "MANIFEST.json").read_text())
    theirs = OfTorchServe("model", str(affine_folder), manifest, 1, 3, "0.12.0")
    ours = Context(affine_folder, 3)
    assert ours.system_properties.keys() == theirs.system_properties.keys()
    for name in ("model_dir", "gpu_id", "batch_size"):
        assert ours.system_properties[name] == theirs.system_properties[name]
    assert (ours.manifest, ours.model_name) == (theirs.manifest, theirs.model_name)
