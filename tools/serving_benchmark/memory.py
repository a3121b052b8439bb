"""Measure how much memory one call needs in the server's processes and in the client.

Each server is fresh, has loaded its model and answered a small call. Then the kernel resets the
peaks of resident memory, one large call is made, and the new peaks are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import processes
from .contestants import Contestant, NotStarted, contestant

_WORKERS = ("model_service_worker", "engines.uvicorn.worker")


def measure(names: Sequence[str], size: int, archives: Path) -> dict[str, dict[str, float | str]]:
    """Return for each system the increase of memory during one echo, as multiples of the array.

    ``worker``: the process with the model, of TorchServe or of eisen-serve on uvicorn; ``server``:
    all processes of the server; ``client``: its process, as a multiple of the reply.
    """
    found: dict[str, dict[str, float | str]] = {}
    for name in names:
        try:
            with contestant(name, "echo", archives) as each:
                lack = each.system.lacks("echo", size)
                found[name] = {"failed": lack} if lack else _one(each, size)
        except NotStarted as error:
            found[name] = {"failed": str(error).splitlines()[0]}
        print(f"memory {name}: {found[name]}", flush=True)
    return found


def _one(contestant: Contestant, size: int) -> dict[str, float | str]:
    small = contestant.ask("turn", 2**10, calls=3, warm=1)
    if "failed" in small:
        return small  # type: ignore[no-any-return]
    before = {number: processes.residence(number) for number in contestant.server.processes()}
    for number in before:
        processes.forget_peak(number)
    answer = contestant.ask("memory", size)
    if "failed" in answer:
        return answer  # type: ignore[no-any-return]
    rises = {number: processes.peak(number) - held for number, held in before.items()}
    result: dict[str, float | str] = {
        "server": sum(rises.values()) / size,
        "client": answer["rise"] / answer["reply"],
    }
    workers = [rise for number, rise in rises.items() if _runs_model(number)]
    return {**result, "worker": max(workers) / size} if workers else result


def _runs_model(process: int) -> bool:
    command = Path(f"/proc/{process}/cmdline").read_text("utf-8", "replace")
    return any(name in command for name in _WORKERS)
