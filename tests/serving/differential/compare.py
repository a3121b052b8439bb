"""Packs cases and answers their requests, together and each alone in a process of its own.

Usage: ``python compare.py FIRST COUNT FOLDER``; prints a line of JSON for each case. Processes are
forked from this one, which imports everything and runs nothing: a fork is as good as a new one.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
import traceback
from pathlib import Path

import cases
import torch

from eisen_deploy.packaging import EisenPackagingError
from eisen_deploy.packaging._arguments import plain_json
from eisen_deploy.packaging._arguments.handler_argument import Handler
from eisen_deploy.packaging._arguments.model_argument import parse_model
from eisen_deploy.packaging._arguments.payload import Payload
from eisen_deploy.packaging._arguments.sample_argument import parse_sample
from eisen_deploy.packaging._contents import archive_folder
from eisen_deploy.packaging._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime._shared.wire import protocol
from eisen_deploy.serving.runtime.errors import SelfTestFailed
from eisen_deploy.serving.runtime.messages import Request
from eisen_deploy.serving.runtime.session import InferenceSession


def encode(batch):
    body = protocol.encode_request(batch)
    return dict(body.headers), b"".join(body.buffers)


def apart(function, *arguments):
    """Return what a function gives in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(function(*arguments), pipe)
            status = 0
        except BaseException:  # noqa: BLE001 - shown, and the process ends
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        raw = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{function.__name__} failed")
    return pickle.loads(raw)


def pack(seed, folder):
    case = cases.make(seed, encode)
    folder.mkdir()
    declared = Metadata.parse(case.metadata)
    try:
        payload = Payload(
            name="model",
            version="1.0",
            model=parse_model(case.model, Handler(), declared),
            transforms=case.transforms,
            metadata_text=plain_json.encode(case.metadata),
            metadata=declared,
            handler=Handler(),
            extras=[],
            code=[],
            requirements={},
            serving=None,
            sample=case.sample and parse_sample(case.sample, Handler(), declared),
            tolerance=1e-3,
        )
        archive_folder.write(payload, archive_folder.measure(payload), folder)
    except EisenPackagingError as error:
        return f"{type(error).__name__}: {error}"
    return None


def answer(folder, requests):
    """Load an archive and answer requests: a status, the media type and the body of each.

    :returns: ``None`` where the archive's sample is not answered as it was when it was packed: the
        clean process would have refused it.
    """
    try:
        session = InferenceSession.open(folder)
    except SelfTestFailed:
        return None
    replies = session.answer([request_of(*each) for each in requests])
    told = [(r.status, r.headers["Content-Type"], b"".join(map(bytes, r.buffers))) for r in replies]
    return told, session.batch_problem is None


def request_of(headers, body):
    return Request({name.lower(): value for name, value in headers.items()}, bytearray(body))


def compare(seed, folder):
    refused = apart(pack, seed, folder)
    if refused is not None:
        return {"seed": seed, "refused": refused}
    requests = cases.make(seed, encode).requests
    found = apart(answer, folder, requests)
    if found is None:
        return {"seed": seed, "refused": "SelfTestFailed"}
    together, shared = found
    alone = [apart(answer, folder, [request])[0][0] for request in requests]
    differ = [i for i, pair in enumerate(zip(together, alone, strict=True)) if pair[0] != pair[1]]
    statuses = [status for status, _, _ in alone]
    return {"seed": seed, "differ": differ, "shared": shared, "statuses": statuses}


def main(first, count, folder):
    torch.set_num_threads(1)  # no pool of threads, which a fork would not have
    logging.getLogger("eisen_deploy.serving").disabled = True
    for seed in range(first, first + count):
        print(json.dumps(compare(seed, folder / str(seed))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
