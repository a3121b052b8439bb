"""Asks for one reply after the other and prints what each took: ``URL CAP NAME:METHOD...``.

For each, in JSON: the name of the error's class or null, the seconds, and the highest memory of the
process during the call, in bytes above what it had at its start.
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
import sys
import time
from pathlib import Path

from eisen_deploy.client import EisenServingClient

TIMEOUT = 4.0


def memory(field: str) -> int:
    """Return a field of this process's memory; unlike ``ru_maxrss`` not that of its parent."""
    return int(re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024


def measure(url: str, cap: int, method: str) -> tuple[str | None, float]:
    """Return the name of what a call raises, and the seconds that it takes."""
    start, name = time.monotonic(), None
    with EisenServingClient(url, timeout=TIMEOUT, max_reply=cap, retries=0) as client:
        try:
            client.predict({"x": 1}) if method == "predict" else client.get_metadata()
        except Exception as error:  # noqa: BLE001 - its class is reported
            name = type(error).__name__
    return name, time.monotonic() - start


if __name__ == "__main__":
    address, largest, *asked = sys.argv[1:]
    before = memory("VmRSS")
    for each in asked:
        model, _, how = each.partition(":")
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what glibc kept of the replies before is not this one's
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
        took = measure(f"{address}/{model}", int(largest), how)
        print(json.dumps([model, *took, memory("VmHWM") - before]), flush=True)
