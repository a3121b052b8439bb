"""Checks of a running server."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.model_store import compute_declared_size
from eisen_deploy.serving.doctor.facts.running_server import NO_TOKEN, RunningServer
from eisen_deploy.serving.doctor.findings import ERROR, WARNING, Area, Found
from eisen_deploy.serving.engines.options import is_loopback
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE

from . import access, capacity, certificates, surroundings

AREA: Area[RunningServer] = Area()


@AREA.error(
    "No client gets anything.",
    "start the server, or correct host, port, firewall and scheme of {endpoint}",
)
def unreachable(server: RunningServer) -> Iterator[Found]:
    """Find that nothing answers."""
    if server.answer.status == 0:
        yield Found(f"{server.endpoint}: {server.answer.reason}", endpoint=server.endpoint)


@AREA.error(
    "What is said here of TorchServe does not hold for it.",
    "ask the address of inference; behind a proxy, ask the server itself",
)
def no_torchserve(server: RunningServer) -> Iterator[Found]:
    """Find something else than TorchServe, or a proxy in front of it."""
    if server.answer.status and not server.is_torchserve:
        yield Found(f"{server.endpoint} answers {server.answer.status}, not as TorchServe does")


@AREA.warning(certificates.WHY, "{remedy}")
def tls_distrusted(server: RunningServer) -> Iterator[Found]:
    """Find a certificate that clients refuse; an error if expired, or made by TorchServe itself."""
    remedy = "certificate_file=server.pem and private_key_file=server.key in config.properties"
    yield from certificates.find_distrust(server.certificate, remedy)


@AREA.same_as(access.AREA, "inference-open")
def inference_open(server: RunningServer) -> Iterator[Found]:
    """Find predictions on the network without a token."""
    where = server.reach("/ping", server.endpoint)
    if server.is_torchserve and not server.has_tokens and where is not None:
        what = f"{where} answers {server.answer.status} without a token"
        yield Found(what, port=where.port)


@AREA.same_as(access.AREA, "clear-text")
def clear_text(server: RunningServer) -> Iterator[Found]:
    """Find plain HTTP on the network."""
    endpoint, name = server.endpoint, "inference_address"
    if server.answer.status and endpoint.scheme == "http" and not is_loopback(endpoint.host):
        yield Found(f"{endpoint} without TLS", name=name, host=endpoint.host, port=endpoint.port)


@AREA.same_as(access.AREA, "management-open")
def management_open(server: RunningServer) -> Iterator[Found]:
    """Find management on the network; a warning where it asks for a token."""
    where = server.reach("/models", server.management_endpoint)
    if server.management is not None and where is not None:
        asked = server.management.kind == NO_TOKEN
        what = f"{where} answers {'with' if asked else 'without'} a token"
        yield Found(what, severity=WARNING if asked else ERROR, port=where.port)


@AREA.same_as(access.AREA, "metrics-open")
def metrics_open(server: RunningServer) -> Iterator[Found]:
    """Find metrics on the network."""
    where = server.reach("/metrics", server.metrics_endpoint)
    if server.metrics is not None and where is not None:
        yield Found(f"{where} answers", port=where.port)


@AREA.error(
    "Every request with it is refused.",
    "read key_file.json again, in torchserve's working folder: each start writes it anew",
)
def token_refused(server: RunningServer) -> Iterator[Found]:
    """Find that the token that was given is wrong, or has expired."""
    if server.with_token is not None and server.with_token.kind == NO_TOKEN:
        yield Found("the server refuses the token of inference")


@AREA.same_as(surroundings.AREA, "torchserve-untried")
def torchserve_untried(server: RunningServer) -> Iterator[Found]:
    """Find another release than 0.12."""
    if server.version and not server.version.startswith(surroundings.TRIED):
        yield Found(f"TorchServe {server.version}", python="python")


@AREA.error(
    "A load balancer takes the server out, and clients that ask for it wait.",
    "look for the first error in logs/model_log.log",
)
def ping_unhealthy(server: RunningServer) -> Iterator[Found]:
    """Find a ``/ping`` that does not say Healthy."""
    answer = server.with_token or server.answer
    if answer.kind == NO_TOKEN or not answer.status or not server.is_torchserve:
        return
    said = answer.json.get("status") if isinstance(answer.json, dict) else None
    if answer.status != 200 or said != "Healthy":
        yield Found(f"/ping answers {answer.status}, {said}")


@AREA.error(
    "Requests wait in the queue and nobody answers them, while /ping says Healthy.",
    "look for {name} in logs/model_log.log; eisen-serve run names the cause",
)
def worker_missing(server: RunningServer) -> Iterator[Found]:
    """Find a model without a worker that is ready."""
    for model in server.models:
        if model.looks and not model.ready:
            states = ", ".join(worker.status for worker in model.looks[-1]) or "none"
            yield Found(f"{model.name}: no worker is ready ({states})", name=model.name)


@AREA.error(
    "The model does not load, or dies with its requests, and is started again and again.",
    "look for {name} in logs/model_log.log; eisen-serve run names the cause",
)
def worker_restarts(server: RunningServer) -> Iterator[Found]:
    """Find a worker whose process changed within two seconds."""
    for model in server.models:
        if model.restarted:
            what = f"{model.name}: worker {', '.join(model.restarted)} was started again meanwhile"
            yield Found(what, name=model.name)


@AREA.error("No client gets a prediction of it.", "{remedy}")
def model_silent(server: RunningServer) -> Iterator[Found]:
    """Find a model that does not answer an empty request."""
    for model in server.models:
        answer = model.answer
        if answer.status == 200 or answer.kind == NO_TOKEN:
            continue
        remedy = f"look for {model.name} in logs/model_log.log; eisen-serve run names the cause"
        if answer.status == 404:
            remedy = f"--models {model.name}=FILE.mar  (or load_models={model.name}=FILE.mar)"
        got = f"{answer.status} {answer.kind}".strip() if answer.status else answer.reason
        yield Found(f"{model.name}: {got}", remedy=remedy)


@AREA.same_as(capacity.AREA, "request-limit-stock")
def request_limit_stock(server: RunningServer) -> Iterator[Found]:
    """Find ``max_request_size`` at TorchServe's 6,553,500 bytes."""
    if server.limit == STOCK_SIZE:
        what = f"max_request_size is {STOCK_SIZE} bytes, the default; max_response_size may be too"
        yield Found(what, bytes=capacity.SUGGESTED)


@AREA.error("One array of the declared shape is refused with 413.", "max_request_size={bytes}")
def request_limit_too_small(server: RunningServer) -> Iterator[Found]:
    """Find ``max_request_size`` below what a model's metadata declares."""
    for model in server.models:
        said = model.answer.json if model.answer.status == 200 else None
        if server.limit is not None and isinstance(said, dict):
            needed = compute_declared_size(Metadata.parse(said).inputs)
            yield from capacity.find_too_small("max_request_size", server.limit, model.name, needed)
