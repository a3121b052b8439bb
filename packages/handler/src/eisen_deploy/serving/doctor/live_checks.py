"""Checks of a running server."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.runtime._shared.metadata import Metadata
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE

from .archives import declared_size
from .findings import ERROR, NOTE, WARNING, Area, Found
from .server import NO_TOKEN, Model, Server

AREA: Area[Server] = Area()

_MIB = 2**20
_TRIED = "0.12."


@AREA.check(
    ERROR,
    effect="No client gets anything.",
    remedy="start the server, or correct host, port, firewall and scheme of {endpoint}",
)
def unreachable(server: Server) -> Iterator[Found]:
    """Find that nothing answers."""
    if server.answer.status == 0:
        yield Found(f"{server.endpoint}: {server.answer.reason}", endpoint=server.endpoint)


@AREA.check(
    ERROR,
    effect="What is told of TorchServe does not hold for it.",
    remedy="ask the address of inference; behind a proxy, ask the server itself",
)
def no_torchserve(server: Server) -> Iterator[Found]:
    """Find something else than TorchServe, or a proxy in front of it."""
    if server.answer.status and not server.is_torchserve:
        yield Found(f"{server.endpoint} answers {server.answer.status}, not as TorchServe does")


@AREA.check(
    WARNING,
    effect="Clients refuse the connection, or were told not to look: then anyone in between reads "
    "volumes and tokens.",
    remedy="{remedy}",
)
def tls_distrusted(server: Server) -> Iterator[Found]:
    """Find a certificate that a careful client refuses.

    It is an error where TorchServe made it by itself, or where it is expired.
    """
    certificate = server.certificate
    if certificate is None or not certificate.problem:
        return
    remedy = "certificate_file=server.pem and private_key_file=server.key in config.properties"
    if certificate.by_torchserve:
        what = "TorchServe made it by itself, for localhost"
    elif certificate.problem in ("self-signed", "untrusted"):
        remedy = "--authorities hospital.pem, and the same file for the clients"
        what = certificate.detail
    else:
        what = certificate.detail
    worse = certificate.by_torchserve or certificate.problem in ("expired", "no TLS")
    severity = ERROR if worse else None
    yield Found(f"{certificate.problem}: {what}", severity=severity, remedy=remedy)


@AREA.check(
    ERROR,
    effect="Who reaches the address gets predictions, without being asked who he is.",
    remedy="disable_token_authorization=false, or inference_address=http://127.0.0.1:{port}",
)
def inference_open(server: Server) -> Iterator[Found]:
    """Find predictions without a token; a note where only this machine reaches it."""
    if not server.is_torchserve or server.has_tokens:
        return
    outside = [str(there) for name, there in server.outside if name == "inference"]
    alone = server.on_loopback and not outside
    where = outside[0] if outside else str(server.endpoint)
    what = f"{where} answers {server.answer.status} without a token"
    yield Found(what, severity=NOTE if alone else None, port=server.endpoint.port)


@AREA.check(
    WARNING,
    effect="Tokens and volumes pass in clear text, for every machine on the way to read.",
    remedy="inference_address=https://{host}:{port} with certificate_file and private_key_file",
)
def clear_text(server: Server) -> Iterator[Found]:
    """Find plain HTTP on the network."""
    if server.answer.status and server.endpoint.scheme == "http" and not server.on_loopback:
        endpoint = server.endpoint
        yield Found(f"{endpoint} without TLS", host=endpoint.host, port=endpoint.port)


@AREA.check(
    ERROR,
    effect="Who reaches the address changes, removes and, with the model-control API, adds models: "
    "he runs code on the server.",
    remedy="management_address=http://127.0.0.1:{port}  (and disable_token_authorization=false)",
)
def management_open(server: Server) -> Iterator[Found]:
    """Find management on the network.

    It is a warning where a token is asked for; on loopback, where none is, a note.
    """
    if server.management is None:
        return
    outside = [str(there) for name, there in server.outside if name == "management"]
    alone = server.on_loopback and not outside
    asked = server.management.kind == NO_TOKEN
    if alone and asked:
        return
    where = outside[0] if outside else str(server.management_endpoint)
    severity = NOTE if alone else WARNING if asked else ERROR
    what = f"{where} answers {'with' if asked else 'without'} a token"
    yield Found(what, severity=severity, port=server.management_endpoint.port)


@AREA.check(
    WARNING,
    effect="Metrics never ask for a token: names of models, their load and the machine's are open.",
    remedy="metrics_address=http://127.0.0.1:{port}",
)
def metrics_open(server: Server) -> Iterator[Found]:
    """Find metrics on the network."""
    outside = [str(there) for name, there in server.outside if name == "metrics"]
    if server.metrics is not None and (outside or not server.on_loopback):
        where = outside[0] if outside else str(server.metrics_endpoint)
        yield Found(f"{where} answers", port=server.metrics_endpoint.port)


@AREA.check(
    NOTE,
    effect="Prometheus gets nothing; the metrics are in the logs only.",
    remedy="metrics_mode=prometheus",
)
def metrics_in_logs(server: Server) -> Iterator[Found]:
    """Find an empty page of metrics."""
    if server.metrics is not None and not server.metrics.body.strip():
        yield Found(f"{server.metrics_endpoint}/metrics is empty")


@AREA.check(
    ERROR,
    effect="Every request with it is refused.",
    remedy="read key_file.json again, in the folder in which torchserve was started; it is written "
    "anew at each start",
)
def token_refused(server: Server) -> Iterator[Found]:
    """Find that the token that was given is wrong, or has expired."""
    if server.with_token is not None and server.with_token.kind == NO_TOKEN:
        yield Found("the server refuses the token of inference")


@AREA.check(
    WARNING,
    effect="What is told here was tried with 0.12; releases before 0.8.2 can be taken over from "
    "the network.",
    remedy="python -m pip install 'torchserve~=0.12.0' on the server",
)
def torchserve_untried(server: Server) -> Iterator[Found]:
    """Find another release than 0.12."""
    if server.version and not server.version.startswith(_TRIED):
        yield Found(f"TorchServe {server.version}")


@AREA.check(
    ERROR,
    effect="A load balancer takes the server out, and clients that ask for it wait.",
    remedy="look for the first error in logs/model_log.log",
)
def ping_unhealthy(server: Server) -> Iterator[Found]:
    """Find a ``/ping`` that does not say Healthy."""
    answers = [server.with_token, server.answer]
    answer = next((each for each in answers if each and each.kind != NO_TOKEN), None)
    if answer is None or not answer.status or not server.is_torchserve:
        return
    told = answer.json.get("status") if isinstance(answer.json, dict) else None
    if answer.status != 200 or told != "Healthy":
        yield Found(f"/ping answers {answer.status}, {told}")


@AREA.check(
    ERROR,
    effect="Requests wait in the queue and nobody answers them, while /ping says Healthy.",
    remedy="look for {name} in logs/model_log.log; eisen-serve run names the cause",
)
def worker_missing(server: Server) -> Iterator[Found]:
    """Find a model without a worker that is ready."""
    for model in server.models:
        if model.looks and not model.ready:
            states = ", ".join(str(worker.get("status")) for worker in model.looks[-1]) or "none"
            yield Found(f"{model.name}: no worker is ready ({states})", name=model.name)


@AREA.check(
    ERROR,
    effect="The model does not load, or dies with its requests, and is started again and again.",
    remedy="look for {name} in logs/model_log.log; eisen-serve run names the cause",
)
def worker_restarts(server: Server) -> Iterator[Found]:
    """Find a worker whose process changed within two seconds."""
    for model in server.models:
        names = [name for name, _ in model.processes]
        again = sorted({str(name) for name in names if names.count(name) > 1})
        if again:
            what = f"{model.name}: worker {', '.join(again)} was started again meanwhile"
            yield Found(what, name=model.name)


@AREA.check(
    ERROR,
    effect="No client gets a prediction of it.",
    remedy="{remedy}",
)
def model_silent(server: Server) -> Iterator[Found]:
    """Find a model that does not answer an empty request."""
    for model in server.models:
        answer = model.answer
        if answer.status == 200 or answer.kind == NO_TOKEN:
            continue
        remedy = f"look for {model.name} in logs/model_log.log; eisen-serve run names the cause"
        if answer.status == 404:
            remedy = f"--models {model.name}=FILE.mar  (or load_models={model.name}=FILE.mar)"
        came = f"{answer.status} {answer.kind}".strip() if answer.status else answer.reason
        yield Found(f"{model.name}: {came}", remedy=remedy)


@AREA.check(
    NOTE,
    effect="It is not of Eisen-Deploy: its client cannot ask it for inputs and outputs.",
    remedy="pack it with eisen_deploy.packaging",
)
def model_foreign(server: Server) -> Iterator[Found]:
    """Find a model that answers an empty request, and not with its metadata."""
    for model in server.models:
        if model.answer.status == 200 and not isinstance(model.answer.json, dict):
            yield Found(f"{model.name} does not tell its metadata")


@AREA.check(
    WARNING,
    effect="A larger request, as a volume is, gets 413 with an empty body, or a reset while it is "
    "sent.",
    remedy="max_request_size={bytes}",
)
def request_limit_stock(server: Server) -> Iterator[Found]:
    """Find ``max_request_size`` at TorchServe's 6,553,500 bytes."""
    if server.limit == STOCK_SIZE:
        what = f"max_request_size is {STOCK_SIZE} bytes, as it comes; max_response_size may be too"
        yield Found(what, bytes=512 * _MIB)


@AREA.check(
    ERROR,
    effect="One array of the declared shape is refused with 413.",
    remedy="max_request_size={bytes}",
)
def request_limit_too_small(server: Server) -> Iterator[Found]:
    """Find ``max_request_size`` below what a model's metadata declares."""
    for model in server.models:
        needed = _declared(model)
        if server.limit is not None and needed > server.limit:
            what = f"{model.name} needs {needed} bytes, max_request_size is {server.limit}"
            yield Found(what, bytes=1 << needed.bit_length())


def _declared(model: Model) -> int:
    told = model.answer.json if model.answer.status == 200 else None
    return declared_size(Metadata.parse(told).inputs) if isinstance(told, dict) else 0
