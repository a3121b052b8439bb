"""Checks of who reaches the server, and what is let in: addresses, tokens, TLS, CORS."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from eisen_deploy.serving.doctor.facts.gathering import Facts
from eisen_deploy.serving.doctor.findings import ERROR, WARNING, Area, Found
from eisen_deploy.serving.engines.options import is_loopback
from eisen_deploy.serving.engines.torchserve.settings.known_properties import Address

AREA: Area[Facts] = Area()


@AREA.error(
    "Whoever reaches the address gets predictions, and nobody asks who that is.",
    "disable_token_authorization=false  (or inference_address=http://127.0.0.1:{port})",
)
def inference_open(facts: Facts) -> Iterator[Found]:
    """Find inference on the network without tokens."""
    address = facts.properties.addresses.get("inference_address")
    if address and address.is_open and not facts.properties.has_tokens:
        yield Found(f"{address} without tokens", port=address.port)


@AREA.error(
    "Whoever reaches it can change and remove models and, with enable_model_api, run code.",
    "management_address=http://127.0.0.1:{port}",
)
def management_open(facts: Facts) -> Iterator[Found]:
    """Find management on the network; a warning where it asks for a token."""
    address = facts.properties.addresses.get("management_address")
    if address and address.is_open:
        asked = facts.properties.has_tokens
        what = f"{address} {'with' if asked else 'without'} a token"
        yield Found(what, severity=WARNING if asked else ERROR, port=address.port)


@AREA.warning(
    "Metrics never ask for a token: names of models, their load and the machine's are open.",
    "metrics_address=http://127.0.0.1:{port}",
)
def metrics_open(facts: Facts) -> Iterator[Found]:
    """Find metrics on the network."""
    address = facts.properties.addresses.get("metrics_address")
    if address and address.is_open:
        yield Found(f"{address} on the network", port=address.port)


@AREA.error(
    "The gRPC interface does what the HTTP interface does, past what guards that one.",
    "{name}=127.0.0.1",
)
def grpc_open(facts: Facts) -> Iterator[Found]:
    """Find a gRPC interface on the network, without tokens or (a warning) without TLS."""
    for name in ("grpc_inference_address", "grpc_management_address"):
        host = facts.properties.text(name) or ""
        if is_loopback(host):
            continue
        if not facts.properties.has_tokens:
            yield Found(f"{name} is {host}, without tokens", name=name)
        elif not facts.properties.flag("enable_grpc_ssl"):
            yield Found(f"{name} is {host}, without TLS", severity=WARNING, name=name)


@AREA.warning(
    "Tokens and volumes pass in clear text, for every machine on the way to read.",
    "{name}=https://{host}:{port} with certificate_file and private_key_file  (or a TLS proxy)",
)
def clear_text(facts: Facts) -> Iterator[Found]:
    """Find inference or management on the network over plain HTTP."""
    for name in ("inference_address", "management_address"):
        address = facts.properties.addresses.get(name)
        if address and address.is_open and address.scheme == "http":
            yield Found(f"{address} without TLS", name=name, host=address.host, port=address.port)


@AREA.error(
    "Requests need both tokens in turn; without tokens, inference and management are open alike.",
    "{name}=http://127.0.0.1:{port}",
)
def address_shared(facts: Facts) -> Iterator[Found]:
    """Find two interfaces on one port."""
    seen: dict[int | None, Address] = {}
    for address in facts.properties.addresses.values():
        other = seen.setdefault(address.port, address)
        if address.port is not None and other is not address:
            what = f"{other.name} and {address.name} share port {address.port}"
            yield Found(what, name=address.name, port=address.port + 1)


@AREA.error(
    "TorchServe makes one that nobody trusts; on Java 17 it ends at its start (org/bouncycastle).",
    "certificate_file=server.pem and private_key_file=server.key  (or keystore, keystore_pass)",
)
def tls_without_certificate(facts: Facts) -> Iterator[Found]:
    """Find ``https`` without ``keystore``, or without both certificate and key."""
    secure = [str(each) for each in facts.properties.addresses.values() if each.scheme == "https"]
    needed = ("certificate_file", "private_key_file")
    missing = [name for name in needed if facts.properties.text(name) is None]
    if secure and missing and facts.properties.text("keystore") is None:
        yield Found(f"{', '.join(secure)}: neither keystore nor {' and '.join(missing)} is set")


@AREA.error(
    "TorchServe ends at its start, once an address is https.",
    "{name}=PATH of a file that the server's user can read",
)
def tls_file_missing(facts: Facts) -> Iterator[Found]:
    """Find a certificate, key or keystore that is not there."""
    for name in ("keystore", "certificate_file", "private_key_file"):
        value = facts.properties.text(name)
        if value and not (facts.properties.folder / value).is_file():
            yield Found(f"{name}: there is no {value}", name=name)


@AREA.warning(
    "Every user of this machine can read it, and use the server as its owner.", "chmod 600 {path}"
)
def secret_readable(facts: Facts) -> Iterator[Found]:
    """Find keys, or a file with a password, that others may read."""
    own = facts.properties
    names = ["key_file.json"] if own.has_tokens else []
    names += filter(None, map(own.text, ("private_key_file", "keystore")))
    files = [own.folder / name for name in names]
    if own.path is not None and "keystore_pass" in own.parsed.values:
        files.append(own.path)
    for path in files:
        if path.is_file() and path.stat().st_mode & stat.S_IROTH:
            yield Found(f"{path} is readable for others", path=path)


@AREA.warning(
    "Then every request is refused (400 InvalidKeyException), until a restart or a new token.",
    "token_expiration_min=525600",
)
def tokens_expire(facts: Facts) -> Iterator[Found]:
    """Find tokens that end within a day; by default they end after an hour."""
    text = facts.properties.text("token_expiration_min") or ""
    if not facts.properties.has_tokens:
        return
    try:
        if float(text) < 24 * 60:
            yield Found(f"tokens end after {float(text):g} minutes")
    except ValueError:
        yield Found(f"token_expiration_min is not a number, so 60: {text!r}")


@AREA.warning(
    "Whoever reaches management registers archives, and archives run code on the server.",
    "enable_model_api=false, with the models in load_models  (or allowed_urls=file:///STORE/.*)",
)
def model_api_enabled(facts: Facts) -> Iterator[Found]:
    """Find the model-control API; an error where no token is asked for."""
    if facts.properties.flag("enable_model_api"):
        asked = facts.properties.has_tokens
        what = f"enable_model_api is true, {'with' if asked else 'without'} tokens"
        yield Found(what, severity=WARNING if asked else ERROR)


@AREA.warning(
    "Every web page that somebody on the network opens can ask the server in their name.",
    "cors_allowed_origin=https://the.page.that.may",
)
def cors_any(facts: Facts) -> Iterator[Found]:
    """Find ``cors_allowed_origin=*``."""
    if (facts.properties.text("cors_allowed_origin") or "").strip() == "*":
        yield Found("cors_allowed_origin is *")
