"""Pack while the file system fails, processes die or others pack too; print what went wrong.

Runs under the shim, as ``LD_PRELOAD=shim.so python campaign.py FOLDER WORK [ARGUMENT ...]``. Prints
JSON: how many cases there were, what became of them, and a sentence for each broken promise.
"""

from __future__ import annotations

import collections
import errno
import fcntl
import hashlib
import json
import os
import random
import signal
import stat
import sys
import time
import traceback
import warnings
from pathlib import Path

import shim
import torch

from eisen_deploy.packaging import (
    ArchiveExists,
    ArchiveNotWritten,
    EisenPackagingError,
    EisenServingMAR,
    _destination,
)
from eisen_deploy.packaging._capture import installed

warnings.filterwarnings("ignore", message=".*(fork|torch.jit|ScriptModule)")
torch.set_num_threads(1)
installed.forget_if_changed = lambda: None  # nothing is installed meanwhile, and looking takes long
NUMBERS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES)
STATUSES = {0: "packed", 3: "exists", 4: "refused", 5: "other refusal", 1: "other error"}


def models():
    """A small model of each form; its file is written in several pieces."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(150, 150).eval()
    example = torch.ones(2, 150)
    return {
        "eager": lambda: linear,
        "torchscript": lambda: torch.jit.trace(linear, example),
        "export": lambda: torch.export.export(linear, (example,)),
    }


def pack(model, folder, version, **options):
    return EisenServingMAR(dict, None, {}).pack(model, folder, "m", version, **options)


def fork(work, complaint):
    """Run work in a child, whose status says how it ended; write what was not foreseen."""
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
    except EisenPackagingError as error:
        complaint.write_text(repr(error))
        status = 5
    except Exception:  # noqa: BLE001 - a child ends in no other way
        complaint.write_text(traceback.format_exc())
    finally:
        os._exit(status)


def ended(child):
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return STATUSES.get(status) or signal.Signals(-status).name


class Zoo:
    """A destination with strangers in it, an archive that was there before, and its successor."""

    def __init__(self, folder, model, deaths=("SIGKILL",)):
        self.folder = folder / "zoo"
        self.target = self.folder / "m.mar"
        self.complaint = folder / "complaint"
        self.model = model
        self.deaths = deaths
        self.old, self.new = (pack(model, folder / v, v).read_bytes() for v in ("1", "2"))
        self.theirs = self._invite(folder)
        self.dead = self.folder / _destination._name_for(f"{99:016x}")
        self._lock = os.open(self.theirs[0], os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.before = self.strangers()

    def _invite(self, folder):
        """Put down what only looks as if it were left behind; the first will be locked."""
        ours = [_destination._name_for(f"{number:016x}") for number in range(4)]
        wrong = ours[0][:-1] + ("0" if ours[0][-1] != "0" else "1")
        near = [wrong, ours[0].upper(), ours[0] + "0"]
        folders = [ours[3], ".eisen-pack-foo", ".eisen-pack-", *near]
        elsewhere = folder / "elsewhere"
        for stranger in [*(self.folder / name for name in folders), elsewhere]:
            (stranger / "files").mkdir(parents=True)
            (stranger / "files" / "data").write_bytes(b"theirs")
        files = ["other.mar", "m.mar.part", ".m.mar", ours[0]]
        for name in files:
            (self.folder / name).write_bytes(b"theirs")
        (self.folder / ours[1]).symlink_to(elsewhere)
        (self.folder / ours[2]).symlink_to("nowhere")
        return [*(self.folder / name for name in [*folders, *files, *ours[1:3]]), elsewhere]

    def strangers(self):
        """All that can be known of what others have put down."""
        paths = [path for top in self.theirs for path in [top, *sorted(top.rglob("*"))]]
        return [(str(path), *_look(path)) for path in paths]

    def left(self):
        known = {path.name for path in self.theirs} | {self.target.name}
        return sorted({path.name for path in self.folder.iterdir()} - known)

    def reset(self, *, old):
        self.complaint.unlink(missing_ok=True)
        self.target.unlink(missing_ok=True)
        if old:
            self.target.write_bytes(self.old)
        if not self.dead.exists():
            self._leave_behind()

    def _leave_behind(self):
        """Put down what a packer leaves that is killed, and in it a way to a stranger."""
        (self.dead / "files").mkdir(parents=True)
        (self.dead / "files" / "model.pt").write_bytes(b"ours")
        (self.dead / "files" / "elsewhere").symlink_to(self.theirs[-1])

    def found(self, *, old):
        """What is at the target, in a word."""
        if not self.target.exists():
            return "absent" if old else "old"
        content = self.target.read_bytes()
        return {self.old: "old" if old else "another's", self.new: "new"}.get(content, "broken")

    def pack_new(self, **options):
        pack(self.model, self.folder, "2", **options)

    def judge(self, end, *, old):
        """Say what is wrong after one attempt, and after a clean one that clears what it left."""
        found, problems = self.found(old=old), []
        allowed = {"packed": ["new"], "refused": ["old"]}
        allowed.update({death: ["old", "new"] for death in self.deaths})
        if end not in allowed:
            said = self.complaint.read_text() if self.complaint.exists() else ""
            problems.append(f"ended as {end} {said}")
        if found not in allowed.get(end, ["old", "new"]):
            problems.append(f"the archive is {found}")
        if self.strangers() != self.before:
            problems.append("a stranger was touched")
        left = bool(self.left())
        return found, left, problems + (self.clear(old=old) if left else [])

    def clear(self, *, old):
        """Pack once more, and say what is still not as it should be."""
        end = ended(fork(lambda: self.pack_new(overwrite=True), self.complaint))
        state = end, self.found(old=old), self.left(), self.strangers() == self.before
        return [] if state == ("packed", "new", [], True) else [f"after one more: {state}"]


def _look(path):
    info = path.lstat()
    content = path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
    return stat.filemode(info.st_mode), info.st_ino, info.st_mtime_ns, info.st_nlink, content


class Report:
    def __init__(self):
        self.ends, self.problems, self.cases, self.left = collections.Counter(), [], 0, 0

    def add(self, what, end, found, left, problems):
        self.cases += 1
        self.left += left
        self.ends[f"{end}, {found}"] += 1
        self.problems += [f"{what}: {problem}" for problem in problems]

    def told(self):
        return {**vars(self), "problems": self.problems[:40], "broken": len(self.problems)}


def count(zoo, *, old):
    """Return how many calls a pack makes, from the first to the last of them."""
    zoo.reset(old=old)
    shim.arm(zoo.folder, 0, shim.Mode.COUNT)
    ended(fork(lambda: zoo.pack_new(overwrite=old), zoo.complaint))
    calls = shim.calls()
    shim.disarm()
    return calls


def strike(zoo, report, mode, at, number, *, old):
    """One pack with one fault in it."""
    zoo.reset(old=old)
    shim.arm(zoo.folder, at, mode, number)
    end = ended(fork(lambda: zoo.pack_new(overwrite=old), zoo.complaint))
    struck = shim.struck()
    shim.disarm()
    what = f"{mode.name} {errno.errorcode[number]} at {at} ({struck}), old={old}"
    report.add(what, end, *zoo.judge(end, old=old))


def faults(folder, modes, step, form="eager", calls=None):
    """A fault at every ``step``-th of the calls; errors and the old archive take turns."""
    aborts = ["SIGABRT"] if form == "torchscript" else []  # torch does, where its writes fail
    zoo, report = Zoo(folder, models()[form](), ["SIGKILL", *aborts]), Report()
    calls = int(calls) if calls else max(count(zoo, old=True), count(zoo, old=False))
    for mode in map(shim.Mode.__getitem__, modes.split(",")):
        for turn, at in enumerate(range(1, calls + 1, int(step))):
            full = mode is shim.Mode.FULL
            number = errno.ENOSPC if full else NUMBERS[turn // 2 % len(NUMBERS)]
            strike(zoo, report, mode, at, number, old=turn % 2 == 0)
    return {**report.told(), "calls": calls}


def kills(folder, times):
    """Kill at a random time; about every second one survives."""
    zoo, report = Zoo(folder, torch.nn.Linear(2**18, 1)), Report()
    chance, longest = random.Random(0), 0.1
    for turn in range(int(times)):
        old = turn % 2 == 0
        zoo.reset(old=old)
        child = fork(lambda old=old: zoo.pack_new(overwrite=old), zoo.complaint)
        time.sleep(chance.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        end = ended(child)
        longest *= 1.1 if end == "SIGKILL" else 0.9
        report.add(f"kill {turn}", end, *zoo.judge(end, old=old))
    return report.told()


def several(zoo, works):
    """Run works at once, and return how each of them ended."""
    children = [fork(work, zoo.complaint) for work in works]
    return [ended(child) for child in children]


def races(folder, rounds):
    """Eight processes with one target: only one can make it, and then all may replace it."""
    zoo, ends, problems = Zoo(folder, torch.nn.Linear(2**16, 1)), [], []
    for _ in range(int(rounds)):
        zoo.reset(old=False)
        ends += [sorted(several(zoo, [zoo.pack_new] * 8))]
        ends += [several(zoo, [lambda: zoo.pack_new(overwrite=True)] * 8)]
        whole = zoo.found(old=False) == "new" and zoo.strangers() == zoo.before
        problems += [] if whole and not zoo.left() else [f"{zoo.found(old=False)} {zoo.left()}"]
    return {"ends": ends, "problems": problems}


def crowds(folder, rounds):
    """Of four processes with one target one is killed: what it leaves is removed, and no more."""
    zoo, report, chance = Zoo(folder, torch.nn.Linear(2**16, 1)), Report(), random.Random(0)
    for turn in range(int(rounds)):
        zoo.reset(old=True)
        work = [lambda: zoo.pack_new(overwrite=True)] * 4
        children = [fork(one, zoo.complaint) for one in work]
        time.sleep(chance.uniform(0, 0.1))
        os.kill(children[0], signal.SIGKILL)
        ends = [ended(child) for child in children]
        others = [f"another ended as {end}" for end in ends[1:] if end != "packed"]
        found, left, problems = zoo.judge(ends[0], old=True)
        report.add(f"crowd {turn}", ends[0], found, left, problems + others)
    return report.told()


def writes(folder, times):
    """Replace one archive by many processes, eight at a time, while another reads it."""
    model, complaint = torch.nn.Linear(2**18, 1), folder / "complaint"
    versions = [str(number) for number in range(8)]
    known = {_digest(pack(model, folder / version, version)) for version in versions}
    target, done = pack(model, folder / "zoo", "0"), folder / "done"
    reader = fork(lambda: _read_until(done, target, known, folder / "reads"), complaint)
    left, running, ends = int(times), [], []
    while left or running:
        while left and len(running) < 8:
            left -= 1
            version = versions[left % 8]
            work = lambda v=version: pack(model, folder / "zoo", v, overwrite=True)  # noqa: E731
            running.append(fork(work, complaint))
        ends.append(ended(running.pop(0)))
    done.touch()
    return {
        "reader": ended(reader),
        "reads": len((folder / "reads").read_text().split()),
        "seen": len(set((folder / "reads").read_text().split())),
        "ends": dict(collections.Counter(ends)),
        "left": sorted({path.name for path in target.parent.iterdir()} - {"m.mar"}),
        "problems": [complaint.read_text()] if complaint.exists() else [],
    }


def _read_until(done, target, known, reads):
    seen = []
    while not done.exists():
        seen.append(_digest(target))
        assert seen[-1] in known, "a part, or nothing that was packed"
    reads.write_text(" ".join(seen))


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    work, *arguments = sys.argv[2:]
    print(json.dumps(globals()[work](Path(sys.argv[1]).resolve(), *arguments)))
