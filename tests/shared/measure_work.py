"""Measure what each hostile body costs a process: ``python measure_work.py SIZE [NAME ...]``.

Writes a line of JSON for each: its name, its size after inflation, the peak of memory with the
body itself, seconds of CPU, the seconds that a known piece of work then takes, and what became
of it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime.answering.bodies import decode, encode
from eisen_deploy.serving.runtime.messages import Request

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import hostile

SELF = Path("/proc/self")
#: As the table's, but that each image is cast to what takes the most.
DECLARED = Metadata.parse(
    {"inputs": [{"name": "image", "type": "ndarray[complex128]"}, *hostile.METADATA["inputs"][1:]]}
)


def memory(name: str) -> int:
    lines = (SELF / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def answer(sent: Request) -> str:
    """Decode a request and encode its inputs as replies; say what became of it."""
    archive = SimpleNamespace(name="m", version="1")
    try:
        call = decode.decode(sent, DECLARED)
        for accept in ("json", "protocol"):
            outcome = encode._encode_json if accept == "json" else encode._encode_protocol
            outcome(call.inputs, *(() if accept == "json" else (call, archive)))
    except Exception as error:  # noqa: BLE001 - what it is, is for who reads this
        return f"{type(error).__name__}: {error}"[:200]
    return "ok"


def pace() -> float:
    """Return the seconds of CPU for a known piece of work: how fast this machine is just now."""
    text = json.dumps([[1, 2.5, "x", {"a": None}]] * 20_000)
    start = time.process_time()
    json.dumps(json.loads(text))
    return time.process_time() - start


def measure(name: str, size: int) -> dict[str, object]:
    body = hostile.bodies()[name](size)
    parts = body.parts and {part: bytearray(raw) for part, raw in body.parts.items()}
    sent = Request(body.headers, bytearray(body.body), parts)
    inflated, own = body.size, sent.size
    del body
    (SELF / "clear_refs").write_text("5")  # the peak begins anew
    before, start = memory("VmRSS") - own, time.process_time()
    outcome = answer(sent)
    seconds = time.process_time() - start
    taken = memory("VmHWM") - before
    spent = {"memory": taken, "seconds": seconds, "pace": pace()}
    return {"name": name, "size": inflated, **spent, "is": outcome}


def main(size: int, names: list[str]) -> None:
    for name in names or hostile.bodies():
        child = os.fork()  # each in a process that has only what all need
        if not child:
            try:
                print(json.dumps(measure(name, size)), flush=True)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
