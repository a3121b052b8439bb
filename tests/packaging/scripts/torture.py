"""Pack under hard conditions, each in processes of their own; print the outcome as JSON."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import warnings
import zipfile
from pathlib import Path

import torch

from eisen_deploy.packaging import ArchiveExists, ArchiveNotWritten, EisenServingMAR
from eisen_deploy.packaging._shared.archive import unpacked_folder

warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
torch.set_num_threads(1)


def pack(folder, version, size=2**19, **options):
    model = torch.nn.Linear(size, 1, bias=False)
    return EisenServingMAR(None, None, {}).pack(model, folder, "m", version, **options)


def fork(work):
    """Run work in a child; its exit status is 0, 3 (exists), 4 (not written) or 1."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except ArchiveExists:
        status = 3
    except ArchiveNotWritten:
        status = 4
    finally:
        os._exit(status)


def status_of(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def version_in(archive):
    """Return the version in an archive, after all of it has been read."""
    folder = archive.parent / "unpacked"
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        opened.extractall(folder)
    return unpacked_folder.verify(folder).model.version


def strays(folder):
    return [path.name for path in folder.iterdir() if path.name not in ("m.mar", "unpacked")]


def races(folder):
    """Eight processes with one target: all may replace it, only one may make it."""
    children = [fork(lambda v=str(n): pack(folder / "a", v, overwrite=True)) for n in range(8)]
    replaced = [status_of(child) for child in children]
    children = [fork(lambda v=str(n): pack(folder / "b", v)) for n in range(8)]
    made = [status_of(child) for child in children]
    found = [version_in(folder / name / "m.mar") for name in "ab"]
    left = strays(folder / "a") + strays(folder / "b")
    return {"replaced": replaced, "made": sorted(made), "found": found, "left": left}


def limits(folder):
    """A file size limit stops the writing at the model, at a payload file, or at the archive."""
    pack(folder, "0")
    old = (folder / "m.mar").read_bytes()

    def limited(limit):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        pack(folder, "1", overwrite=True)

    whole = len(old)
    sizes = [0, 1000, 50_000, 2**20, whole - 200_000, whole - 1]
    statuses = [status_of(fork(lambda size=size: limited(size))) for size in sizes]
    kept = (folder / "m.mar").read_bytes() == old
    return {"statuses": statuses, "kept": kept, "left": strays(folder)}


def memory(folder):
    """Pack 128 MiB, and return by how many MiB the largest residence grew meanwhile."""
    model = torch.nn.Linear(2**25, 1, bias=False)
    packer = EisenServingMAR(None, None, {})
    packer.pack(torch.nn.Linear(1, 1), folder, "small")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of before
    before = _peak()
    packer.pack(model, folder, "m")
    return {"grown": _peak() - before, "size": (folder / "m.mar").stat().st_size}


def _peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    answer = {}
    for work in (races, limits, memory):
        own = Path(sys.argv[1]) / work.__name__
        own.mkdir()
        answer[work.__name__] = work(own)
    print(json.dumps(answer))
