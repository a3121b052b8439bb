"""Real archives, unpacked, and the handler of each called with TorchServe's own context."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eisen_deploy.serving.runtime._shared.wire import protocol
from eisen_deploy.serving.runtime.torchserve import entry

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its version.txt open
    from ts.context import Context, RequestProcessor


HTTP = {"Host": "localhost"}


@dataclass
class Answer:
    """One answer as TorchServe would send it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def outputs(self) -> dict[str, Any]:
        size = self.headers.get(protocol.LENGTH_HEADER)
        return protocol.decode_reply(bytearray(self.body), size and int(size)).outputs


class Worker:
    """A TorchServe worker in this process: the handler's entry point and a real context.

    Fields without any header are a call by gRPC; all else has come by HTTP.
    """

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())
        self.context = Context("model", str(folder), manifest, 8, None, "0.12.0")
        entry.handle(None, self.context)

    @property
    def handler(self) -> Any:
        return entry._session.handler

    def post_all(self, requests: list[tuple[Mapping[str, str], Any]]) -> list[Answer]:
        """Send a batch of (headers, row); a row that is no dict is a body."""
        rows = [row if isinstance(row, dict) else {"body": row} for _, row in requests]
        self.context.request_processor = [
            RequestProcessor({} if isinstance(row, dict) and not headers else {**HTTP, **headers})
            for headers, row in requests
        ]
        bodies = entry.handle(rows, self.context)
        return [
            Answer(
                self.context.get_response_status(i)[0], self.context.get_response_headers(i), body
            )
            for i, body in enumerate(bodies)
        ]

    def post(self, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        return self.post_all([(headers or {}, body)])[0]

    def predict_all(self, batches: list[dict[str, Any]]) -> list[Answer]:
        return self.post_all([oip(batch) for batch in batches])

    def predict(self, batch: dict[str, Any]) -> Answer:
        return self.predict_all([batch])[0]


def oip(batch: dict[str, Any], **options: Any) -> tuple[dict[str, str], bytearray]:
    body = protocol.encode_request(batch, **options)
    return body.headers, bytearray(b"".join(body.buffers))


class Affine(torch.nn.Module):
    """y = 2 x + 1 in float32; refuses numbers above a million; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if bool((x > 1e6).any()):
            raise ValueError(f"secret value {float(x.max())}")
        return x * self.factor + 1


METADATA = {
    "inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "type": "ndarray", "shape": [-1, 2]}],
    "model_input_list": ["x"],
    "model_output_list": ["y"],
    "custom": {},
}


@pytest.fixture
def restore_path() -> Iterator[None]:
    """Leave ``sys.path`` as it was: what loads an archive adds to it."""
    path = list(sys.path)
    yield
    sys.path[:] = path


@pytest.fixture
def extract(tmp_path: Path, restore_path: None) -> Callable[[Path], Path]:
    """Return the folder of an archive, unpacked."""

    def _extract(archive: Path) -> Path:
        folder = tmp_path / "unpacked"
        shutil.rmtree(folder, ignore_errors=True)
        zipfile.ZipFile(archive).extractall(folder)
        return folder

    return _extract


@pytest.fixture(scope="session")
def packer() -> Any:
    """``EisenServingMAR``; this module travels in archives, where no server has it."""
    from eisen_deploy.packaging import EisenServingMAR

    return EisenServingMAR


@pytest.fixture
def unpack(tmp_path: Path, extract: Callable[[Path], Path], packer: Any) -> Callable[..., Path]:
    """Pack a model and return the folder of the unpacked archive."""

    def _unpack(
        model: Any, metadata: dict[str, Any], pre: Any = None, post: Any = None, **options: Any
    ) -> Path:
        mar = packer(pre, post, metadata, options.pop("handler", None))
        return extract(mar.pack(model, tmp_path, "model", overwrite=True, **options))

    return _unpack


@pytest.fixture
def start(unpack: Callable[..., Path]) -> Callable[..., Worker]:
    """Pack a model and start a worker on it: ``start(model, metadata, pre, post, handler=...)``."""
    return lambda *args, **options: Worker(unpack(*args, **options))


@pytest.fixture
def start_proven(
    start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Worker]:
    """``start``, given a sample: what it shows of batches is proven, but in no clean process."""
    monkeypatch.setattr("eisen_deploy.packaging._mar._proof.prove", lambda *_, **__: None)
    return start


@pytest.fixture(scope="session")
def affine_archive(tmp_path_factory: pytest.TempPathFactory, packer: Any) -> Path:
    """An archive of the model y = 2 x + 1."""
    return packer(None, None, METADATA).pack(Affine(), tmp_path_factory.mktemp("affine"), "model")


@pytest.fixture
def affine_folder(extract: Callable[[Path], Path], affine_archive: Path) -> Path:
    """That archive, unpacked for one test, which may change it."""
    return extract(affine_archive)


@pytest.fixture(scope="session")
def shared_affine_folder(affine_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That archive, unpacked once for all workers, which only read it."""
    folder = tmp_path_factory.mktemp("affine_unpacked")
    zipfile.ZipFile(affine_archive).extractall(folder)
    return folder


@pytest.fixture
def worker(shared_affine_folder: Path, restore_path: None) -> Worker:
    """A worker with the model y = 2 x + 1 on float arrays of shape (-1, 2)."""
    return Worker(shared_affine_folder)


@pytest.fixture
def affine() -> tuple[type[torch.nn.Module], dict[str, Any]]:
    """The class of that model, and its metadata."""
    return Affine, METADATA


@pytest.fixture
def encode_oip() -> Callable[..., tuple[dict[str, str], bytearray]]:
    """Encode a batch as headers and body of the Open Inference Protocol."""
    return oip


@pytest.fixture
def ones() -> np.ndarray:
    return np.ones((1, 2), np.float32)


@pytest.fixture
def java(tmp_path: Path) -> Callable[[str], str]:
    """Make a ``JAVA_HOME`` whose program answers for a version: ``java("11.0.2") -> home``."""

    def _write(version: str) -> str:
        home = tmp_path / f"java-{version}"
        program = home / "bin" / "java"
        if not program.exists():
            program.parent.mkdir(parents=True)
            program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
            program.chmod(0o755)
        return str(home)

    return _write


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.fixture
def feed(pair):
    """Send bytes from another thread, then close; gives the end to read from."""
    here, there = pair
    threads = []

    def _feed(raw):
        def _send():
            there.sendall(raw)
            there.shutdown(socket.SHUT_WR)

        threads.append(threading.Thread(target=_send))
        threads[-1].start()
        return here

    yield _feed
    here.close()
    for thread in threads:
        thread.join()
