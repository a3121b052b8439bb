"""Checks of who reaches the server, and what is let in: addresses, tokens, TLS, CORS."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from .configuration import Address, is_loopback
from .facts import Facts
from .findings import ERROR, WARNING, Area, Found

AREA: Area[Facts] = Area()

_DAY = 24 * 60
_KEYS = "key_file.json"


def _has_tokens(facts: Facts) -> bool:
    return not facts.configuration.flag("disable_token_authorization")


@AREA.check(
    ERROR,
    effect="Who reaches the address gets predictions, without being asked who he is.",
    remedy="disable_token_authorization=false  (or inference_address=http://127.0.0.1:{port})",
)
def inference_open(facts: Facts) -> Iterator[Found]:
    """Find inference on the network without tokens."""
    address = facts.configuration.address("inference_address")
    if address and address.is_open and not _has_tokens(facts):
        yield Found(f"{address} without tokens", port=address.port)


@AREA.check(
    ERROR,
    effect="Who reaches the address changes, removes and, with the model-control API, adds models: "
    "he runs code on the server.",
    remedy="management_address=http://127.0.0.1:{port}",
)
def management_open(facts: Facts) -> Iterator[Found]:
    """Find management on the network; a warning where it asks for a token."""
    address = facts.configuration.address("management_address")
    if address and address.is_open:
        asked = _has_tokens(facts)
        what = f"{address} {'with' if asked else 'without'} a token"
        yield Found(what, severity=WARNING if asked else ERROR, port=address.port)


@AREA.check(
    WARNING,
    effect="Metrics never ask for a token: names of models, their load and the machine's are open.",
    remedy="metrics_address=http://127.0.0.1:{port}",
)
def metrics_open(facts: Facts) -> Iterator[Found]:
    """Find metrics on the network."""
    address = facts.configuration.address("metrics_address")
    if address and address.is_open:
        yield Found(f"{address} on the network", port=address.port)


@AREA.check(
    ERROR,
    effect="The gRPC interface does what the HTTP interface does, past what guards that one.",
    remedy="{name}=127.0.0.1",
)
def grpc_open(facts: Facts) -> Iterator[Found]:
    """Find a gRPC interface on the network, without tokens or (a warning) without TLS."""
    configuration = facts.configuration
    for name in ("grpc_inference_address", "grpc_management_address"):
        host = configuration.text(name) or ""
        if is_loopback(host):
            continue
        if not _has_tokens(facts):
            yield Found(f"{name} is {host}, without tokens", name=name)
        elif not configuration.flag("enable_grpc_ssl"):
            yield Found(f"{name} is {host}, without TLS", severity=WARNING, name=name)


@AREA.check(
    WARNING,
    effect="Tokens and volumes pass in clear text, for every machine on the way to read.",
    remedy="{name}=https://{host}:{port} with certificate_file and private_key_file  (or a "
    "reverse proxy with TLS in front of 127.0.0.1)",
)
def clear_text(facts: Facts) -> Iterator[Found]:
    """Find inference or management on the network over plain HTTP."""
    for name in ("inference_address", "management_address"):
        address = facts.configuration.address(name)
        if address and address.is_open and address.scheme == "http":
            yield Found(f"{address} without TLS", name=name, host=address.host, port=address.port)


@AREA.check(
    ERROR,
    effect="Every request needs the inference token first and the management token next, and "
    "without tokens inference and management stand open together.",
    remedy="{name}=http://127.0.0.1:{port}",
)
def address_shared(facts: Facts) -> Iterator[Found]:
    """Find two interfaces on one port."""
    seen: dict[int | None, Address] = {}
    for address in facts.configuration.addresses():
        other = seen.get(address.port) if address.port is not None else None
        if other is not None:
            what = f"{other.name} and {address.name} share port {address.port}"
            yield Found(what, name=address.name, port=(address.port or 0) + 1)
        seen[address.port] = address


@AREA.check(
    ERROR,
    effect="TorchServe makes a certificate for localhost by itself, which nobody can trust; on "
    "Java 17 it cannot, and ends at its start (NoClassDefFoundError: org/bouncycastle).",
    remedy="certificate_file=server.pem and private_key_file=server.key  (or keystore=..., "
    "keystore_pass=...)",
)
def tls_without_certificate(facts: Facts) -> Iterator[Found]:
    """Find ``https`` without ``keystore``, or without both certificate and key."""
    configuration = facts.configuration
    secure = [each for each in configuration.addresses() if each.scheme == "https"]
    needed = ("certificate_file", "private_key_file")
    missing = [name for name in needed if configuration.text(name) is None]
    if secure and missing and configuration.text("keystore") is None:
        where = ", ".join(str(each) for each in secure)
        yield Found(f"{where}: neither keystore nor {' and '.join(missing)} is set")


@AREA.check(
    ERROR,
    effect="TorchServe ends at its start, once an address is https.",
    remedy="{name}=PATH of a file that the server's user can read",
)
def tls_file_missing(facts: Facts) -> Iterator[Found]:
    """Find a certificate, key or keystore that is not there."""
    for name in ("keystore", "certificate_file", "private_key_file"):
        value = facts.configuration.text(name)
        if value and not (facts.configuration.folder / value).is_file():
            yield Found(f"{name}: there is no {value}", name=name)


@AREA.check(
    WARNING,
    effect="Every user of this machine can read it, and use the server as its owner.",
    remedy="chmod 600 {path}",
)
def secret_readable(facts: Facts) -> Iterator[Found]:
    """Find keys, or a file with a password, that others may read."""
    configuration = facts.configuration
    files = [configuration.folder / _KEYS] if _has_tokens(facts) else []
    names = ("private_key_file", "keystore")
    files += [configuration.folder / value for value in map(configuration.text, names) if value]
    if configuration.path is not None and "keystore_pass" in configuration.parsed.values:
        files.append(configuration.path)
    for path in files:
        if path.is_file() and _is_readable(path):
            yield Found(f"{path} is readable for others", path=path)


def _is_readable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IROTH)


@AREA.check(
    WARNING,
    effect="From then on every request is refused (400 InvalidKeyException), until the server is "
    "started again or a new token is fetched with the one of key_file.json.",
    remedy="token_expiration_min=525600",
)
def tokens_expire(facts: Facts) -> Iterator[Found]:
    """Find tokens that end within a day; an hour, where nothing is set."""
    if not _has_tokens(facts):
        return
    text = facts.configuration.text("token_expiration_min") or ""
    try:
        minutes = float(text)
    except ValueError:
        yield Found(f"token_expiration_min is no number, so 60: {text!r}")
        return
    if minutes < _DAY:
        yield Found(f"tokens end after {minutes:g} minutes")


@AREA.check(
    WARNING,
    effect="Who reaches management registers archives, and archives run code on the server.",
    remedy="enable_model_api=false, with the models in load_models",
)
def model_api_enabled(facts: Facts) -> Iterator[Found]:
    """Find the model-control API; an error where no token is asked for."""
    if facts.configuration.flag("enable_model_api"):
        asked = _has_tokens(facts)
        what = f"enable_model_api is true, {'with' if asked else 'without'} tokens"
        yield Found(what, severity=WARNING if asked else ERROR)


@AREA.check(
    WARNING,
    effect="Archives are registered from any address on the network and any file.",
    remedy="allowed_urls=file:///path/of/model_store/.*",
)
def urls_any(facts: Facts) -> Iterator[Found]:
    """Find ``allowed_urls`` as it comes, with the model-control API on."""
    configuration = facts.configuration
    if not configuration.flag("enable_model_api"):
        return
    given = configuration.text("allowed_urls") or ""
    loose = [url for url in given.split(",") if url.strip() in _ANY]
    loose += [given] if given == _STOCK_URLS else []
    if loose:
        yield Found(f"allowed_urls is {given}")


_STOCK_URLS = "file://.*|http(s)?://.*"
_ANY = (".*", "http(s)?://.*", "https?://.*", "http://.*", "https://.*", "file://.*")


@AREA.check(
    WARNING,
    effect="Every web page that a user of the network opens can ask the server in his name.",
    remedy="cors_allowed_origin=https://the.page.that.may",
)
def cors_any(facts: Facts) -> Iterator[Found]:
    """Find ``cors_allowed_origin=*``."""
    if (facts.configuration.text("cors_allowed_origin") or "").strip() == "*":
        yield Found("cors_allowed_origin is *")
