"""Checks of a server with Eisen-Deploy's own application, uvicorn for one."""

from __future__ import annotations

from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.application import NO_TOKEN, Application
from eisen_deploy.serving.doctor.facts.model_store import compute_declared_size
from eisen_deploy.serving.doctor.findings import Area, Found
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata

from . import certificates

AREA: Area[Application] = Area()


@AREA.error(
    "Whoever reaches the address gets predictions, and nobody asks who that is.",
    "--token-auth  (or --host 127.0.0.1)",
)
def application_open(server: Application) -> Iterator[Found]:
    """Find predictions on the network without a token."""
    if server.reach is not None and not server.has_tokens:
        yield Found(f"{server.reach} answers without a token")


@AREA.warning(
    "Tokens and volumes pass in clear text, for every machine on the way to read.",
    "--tls-cert server.pem --tls-key server.key  (or a TLS proxy)",
)
def application_clear_text(server: Application) -> Iterator[Found]:
    """Find plain HTTP on the network."""
    if server.reach is not None and server.endpoint.scheme == "http":
        yield Found(f"{server.reach} without TLS")


@AREA.warning(certificates.WHY, "{remedy}")
def application_distrusted(server: Application) -> Iterator[Found]:
    """Find a certificate that clients refuse; an error if it has expired."""
    remedy = "--tls-cert and --tls-key with one that is valid, and start it again"
    yield from certificates.find_distrust(server.certificate, remedy)


@AREA.error(
    "Every request with it is refused.",
    "read key_file.json in the server's --folder again: each start writes it anew",
)
def application_refuses_token(server: Application) -> Iterator[Found]:
    """Find that the token that was given is not the server's."""
    if server.known is not server.about and server.known.kind == NO_TOKEN:
        yield Found("the server refuses the token")


@AREA.error(
    "A load balancer takes the server out, and requests get 503 or no answer.",
    "look for the last error in workers.log, in the server's --folder",
)
def application_not_ready(server: Application) -> Iterator[Found]:
    """Find a server that is not ready, or does not answer that."""
    if server.ready.status != 200:
        said = server.ready.status or server.ready.reason
        yield Found(f"{server.endpoint}/v2/health/ready answers {said}")


@AREA.error("No client gets a prediction of it.", "{remedy}")
def application_model_silent(server: Application) -> Iterator[Found]:
    """Find a model that does not answer an empty request."""
    for name, answer in server.models.items():
        if answer.status == 200 or answer.kind == NO_TOKEN:
            continue
        remedy = "look for the last error in workers.log, in the server's --folder"
        if answer.status == 404:
            remedy = "ask the server of that model: this one serves another"
        got = f"{answer.status} {answer.kind}".strip() if answer.status else answer.reason
        yield Found(f"{name}: {got}", remedy=remedy)


@AREA.error("One array of the declared shape is refused with 413.", "--max-body {bytes}")
def application_limit_too_small(server: Application) -> Iterator[Found]:
    """Find ``--max-body`` below what the model's metadata declares."""
    for name, answer in server.models.items():
        if server.limit is None or answer.status != 200:
            continue
        needed = compute_declared_size(Metadata.parse(answer.json).inputs)
        if needed > server.limit:
            what = f"{name} needs {needed} bytes, --max-body is {server.limit}"
            yield Found(what, bytes=1 << needed.bit_length())


@AREA.warning(
    "uvicorn reads requests in Python, and each takes several times as long.",
    "python -m pip install 'eisen-deploy-handler[uvicorn]', and start it again",
)
def application_slow(server: Application) -> Iterator[Found]:
    """Find a uvicorn without uvloop."""
    if server.libraries.get("uvicorn") and not server.libraries.get("uvloop"):
        yield Found("uvloop is not installed beside uvicorn")
