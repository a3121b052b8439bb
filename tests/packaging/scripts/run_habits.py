"""Run scripts of users' habits, each in a process of its own; the script of a fresh interpreter.

``run_habits.py pack FOLDER NAME...`` runs each script as ``__main__``: what it answers itself, and
how it is packed. ``run_habits.py answer FOLDER NAME...`` answers from the archives alone; it is run
with ``-I -S``, and of what is installed it finds what a server has: torch, numpy and what these
need. What comes of ``STEP`` of a habit is pickled in ``FOLDER/NAME.STEP``.
"""

from __future__ import annotations

import importlib.abc
import os
import pickle
import signal
import sys
import time
import traceback
import zipfile
from pathlib import Path
from types import ModuleType

SECONDS = 90
HABITS = Path(__file__).resolve().parent.parent / "habits"
SERVER = {
    "filelock", "fsspec", "functorch", "jinja2", "markupsafe", "mpmath", "networkx", "numpy",
    "sympy", "torch", "torchgen", "typing_extensions",
}  # fmt: skip


def in_a_fork(folder, name, step, work):
    """Do one piece of work in a child; what it returns, raises or dies of is in the file."""
    path = folder / f"{name}.{step}"
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            found = "value", work()
        except BaseException as error:  # noqa: BLE001 - whatever ends a script
            found = type(error).__name__, f"{error}\n{traceback.format_exc()[-1500:]}"
        path.write_bytes(pickle.dumps(found))
        sys.stdout.flush()
        os._exit(0)
    deadline = time.monotonic() + SECONDS
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            path.write_bytes(pickle.dumps(("Hang", f"no end within {SECONDS} s")))
            break
        time.sleep(0.01)
    if not path.exists():
        path.write_bytes(pickle.dumps(("Crash", "the process died")))


def script(name):
    """Run the script of a habit as ``__main__``, and return that module."""
    module = ModuleType("__main__")
    module.__file__ = str(HABITS / f"{name}.py")
    sys.modules["__main__"] = module
    sys.path.insert(0, str(HABITS / "modules"))
    exec(compile(Path(module.__file__).read_text(), module.__file__, "exec"), module.__dict__)
    return module


def expected(name, *, after_sample):
    """Return what the script answers itself, as the handler would do it."""
    import numpy as np
    import torch

    habit = script(name)
    if getattr(habit.MODEL, "training", False):
        habit.MODEL.eval()
    said = habit.METADATA
    answers = []
    for request in [sample_of(habit)] * after_sample + habit.REQUESTS:
        batch = {key: np.array(value) for key, value in request.items()}
        batch = habit.PRE(batch) if habit.PRE else batch
        with torch.no_grad():
            batch |= run_model(habit, batch)
        batch = habit.POST(batch) if habit.POST else batch
        answers.append({key["name"]: np.array(batch[key["name"]]) for key in said["outputs"]})
    return answers[after_sample:]


def run_model(habit, batch):
    import numpy as np
    import torch

    if hasattr(habit, "answer_itself"):
        return habit.answer_itself(batch)
    inputs = [torch.as_tensor(batch[key]) for key in habit.METADATA["model_input_list"]]
    output = habit.MODEL(*inputs)
    outputs = output if isinstance(output, tuple) else (output,)
    arrays = [np.array(each.numpy()) for each in outputs]
    return dict(zip(habit.METADATA["model_output_list"], arrays, strict=True))


def refusal(name, *, with_sample):
    habit = script(name)
    varies = with_sample and getattr(habit, "VARIES", False)
    again = "the sample gives other outputs when it runs a second time in this process"
    return again if varies else getattr(habit, "REFUSED", None)


def sample_of(habit):
    return getattr(habit, "SAMPLE", habit.REQUESTS[0])


def pack(name, folder, *, with_sample):
    from eisen_deploy.packaging import EisenServingMAR

    habit = script(name)
    options = {"sample": sample_of(habit)} if with_sample else {}
    packer = EisenServingMAR(habit.PRE, habit.POST, habit.METADATA)
    target = folder / ("sampled" if with_sample else "plain")
    for lock in [] if with_sample else getattr(habit, "HELD", []):
        lock.acquire()
    return str(packer.pack(habit.MODEL, target, name, **options, **getattr(habit, "PACK", {})))


class Nothing(importlib.abc.MetaPathFinder):
    """Hides what no server has; it is asked after the standard library and the archive."""

    def find_spec(self, fullname, path, target=None):
        from importlib.machinery import PathFinder

        if fullname.partition(".")[0] not in SERVER:
            return None
        return PathFinder.find_spec(fullname, path or [os.environ["SERVER_PACKAGES"]])


def answer(name, folder, kind):
    """Answer the requests of a habit one after the other, from its archive alone."""
    place = folder / f"{name}.{kind}.unpacked"
    with zipfile.ZipFile(folder / kind / f"{name}.mar") as archive:
        archive.extractall(place)
    os.chdir(place)
    sys.path.insert(0, str(place))
    from _eisen_serving._shared.wire import protocol
    from _eisen_serving.messages import Request
    from _eisen_serving.session import InferenceSession

    session = InferenceSession.open(place)
    answers = []
    for request in pickle.loads((folder / f"{name}.requests").read_bytes())[1]:
        body = protocol.encode_request(request)
        headers = {key.lower(): value for key, value in body.headers.items()}
        (reply,) = session.answer([Request(headers, bytearray(b"".join(body.buffers)))])
        length = reply.headers.get(protocol.LENGTH_HEADER)
        if reply.status == 200:
            parts = bytearray(reply.body), int(length) if length else None
            answers.append(dict(protocol.decode_reply(*parts).outputs))
        else:
            answers.append(bytes(reply.body).decode())
    return answers


def main(mode, folder, *names):
    folder = Path(folder)
    kinds = os.environ["KINDS"].split()
    if mode == "answer":
        sys.meta_path.append(Nothing())
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    if mode == "pack":
        import eisen_deploy.packaging  # noqa: F401 - once for all
    for name in names:
        if mode == "pack":
            in_a_fork(folder, name, "requests", lambda name=name: script(name).REQUESTS)
        for kind in kinds:
            sampled = kind == "sampled"
            if mode == "pack":
                work = {
                    f"{kind}.refused": lambda n=name, s=sampled: refusal(n, with_sample=s),
                    f"{kind}.expected": lambda n=name, s=sampled: expected(n, after_sample=s),
                    f"{kind}.packed": lambda n=name, s=sampled: pack(n, folder, with_sample=s),
                }
            elif (folder / kind / f"{name}.mar").exists():
                work = {f"{kind}.answered": lambda n=name, k=kind: answer(n, folder, k)}
            else:
                work = {}
            for step, each in work.items():
                in_a_fork(folder, name, step, each)


main(*sys.argv[1:])
