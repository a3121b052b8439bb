"""Real archives on a real TorchServe whose environment has nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from eisen_deploy.serving.engines.torchserve.launcher import TorchServe

from .engines import ENGINES, Server
from .ray_server import RayServer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = ("handler", "packaging", "client")
MIB = 2**20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.torchserve)


@pytest.fixture(scope="session")
def model_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.mar`` (y = 2 x + 1) and ``echo.mar``, packed by a script."""
    folder = tmp_path_factory.mktemp("packed") / "model_zoo"
    subprocess.run([sys.executable, HERE / "pack_models.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def serve(
    server_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., TorchServe]]:
    """Start a server: ``serve(model_zoo, ["model.mar"], config)``; it ends with the module."""
    with ExitStack() as stack:

        def _serve(store: Path, archives: list[str], config: dict[str, str], *, ready: bool = True):
            folder = tmp_path_factory.mktemp("server")
            config = {"default_workers_per_model": "1", **config}
            server = TorchServe(folder, store, archives, config=config, python=str(server_python))
            stack.enter_context(server)
            for archive in archives if ready else ():
                server.wait_ready(Path(archive).stem)
            return server

        yield _serve


@pytest.fixture(scope="session")
def trainer(
    make_environment: Callable[..., Path], server_python: Path
) -> Callable[..., Callable[..., str]]:
    """The commands of someone who trains with a library, in an environment with it.

    ``run = trainer("torchio", "torchio==1.2.1")``, then ``run("python", "-c", code, cwd=folder)``
    returns the output.
    """

    def _trainer(name: str, *requirements: str) -> Callable[..., str]:
        ours = [f"--editable={ROOT / 'packages' / each}" for each in OURS]
        python = make_environment(name, *requirements, *ours, over=server_python)

        def run(program: str, *arguments: object, cwd: Path) -> str:
            command = [python.with_name(program), *map(str, arguments)]
            done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        return run

    return _trainer


@pytest.fixture
def serve_import(
    server_python_with: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractContextManager[str]]:
    """Serve an archive in an environment with what it requires, and give its key to eisen-client.

    ``with serve_import(environment, requirements, archive, model) as url: ...``
    """

    @contextmanager
    def _serve(name: str, requirements: Sequence[str], archive: Path, model: str) -> Iterator[str]:
        python = server_python_with(name, requirements)
        config = {"default_workers_per_model": "1"}
        server = TorchServe(
            tmp_path / "server", archive.parent, [archive.name], config=config, python=str(python)
        )
        with server:
            server.wait_ready(model)
            monkeypatch.setenv("EISEN_TOKEN", server.key())
            yield f"{server.inference_url}/predictions/{model}"

    return _serve


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A NIfTI file with waves; its first axis runs to the left."""
    import nibabel  # which not each session of nox has

    x, y, z = np.indices((32, 48, 16))
    values = 1000 * (np.sin(x / 5) + np.cos(y / 4) * np.sin(z / 3))
    affine = np.diag([-1, 1.25, 2.5, 1])  # which every program reads without rounding
    affine[:3, 3] = 20, -18, 7
    path = tmp_path / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), affine), path)
    return path


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in its turn.

    ``parametrize("engine", [...], indirect=True)`` chooses some.
    """
    return request.param


@pytest.fixture(scope="session")
def local_ray() -> Iterator[RayServer]:
    """A Ray of this machine, for all tests that serve archives on any engine."""
    with RayServer(RAY_worker_niceness="0") as ray:
        yield ray


@pytest.fixture(scope="module")
def serve_on(
    request: pytest.FixtureRequest, server_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Serve archives: ``serve_on(engine, *archives, **options)``; it ends with the module."""
    with ExitStack() as stack:

        def _serve(engine: str, *archives: Path, **options: object) -> Server:
            folder = tmp_path_factory.mktemp(engine)
            if engine == "ray":
                options["ray"] = request.getfixturevalue("local_ray")
            server = ENGINES[engine](archives, folder, python=server_python, **options)
            return stack.enter_context(server)

        yield _serve


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)
