"""What a TorchServe is configured with: from options and a machine, each line with its reason.

Pure functions. Names and meanings of the properties: TorchServe 0.12, ``ConfigManager``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eisen_deploy.serving.engines.machine import Machine
from eisen_deploy.serving.engines.options import GIB, MIB, Options

from .profile import TUNED, Setting

_HEAP_SHARE = 0.4
_DIRECT_SHARE = 0.25
_LEAST_HEAP = 512 * MIB
# Pointers of the Java virtual machine double in size above this.
_MOST_HEAP = 31 * GIB
_LEAST_QUEUE, _MOST_QUEUE = 16, 100  # the second is TorchServe's own
_HEAD = "# By eisen-serve. What each setting is worth, as measured: docs/tuned-profile.rst"
_TOKEN_MINUTES = 365 * 24 * 60


@dataclass(frozen=True)
class Configuration:
    """Everything that a TorchServe is started with.

    :param settings: of every kind, in the order in which they are written.
    """

    settings: tuple[Setting, ...]

    def of_kind(self, kind: str) -> list[Setting]:
        """Return the settings of one kind."""
        return [setting for setting in self.settings if setting.kind == kind]

    @property
    def properties(self) -> dict[str, str]:
        """The lines of ``config.properties``, that of the Java virtual machine included."""
        vmargs = " ".join(setting.name + setting.value for setting in self.of_kind("vmarg"))
        return {each.name: each.value for each in self.of_kind("property")} | {"vmargs": vmargs}

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by name."""
        return {setting.name: setting.value for setting in self.of_kind("environment")}

    @property
    def log_levels(self) -> dict[str, str]:
        """The level of each logger that has one of its own."""
        return {setting.name: setting.value for setting in self.of_kind("log")}

    def render(self) -> str:
        """Return the text of ``config.properties``, with a comment for each setting."""
        lines = [_HEAD]
        for setting in self.of_kind("property"):
            lines += [f"# {setting.reason}", f"{setting.name}={_escape(setting.value)}"]
        lines.append("# Arguments of Java; read only from a file that --ts-config names:")
        for setting in self.of_kind("vmarg"):
            lines.append(f"#   {setting.name}{setting.value}: {setting.reason}")
        lines.append(f"vmargs={self.properties['vmargs']}")
        return "\n".join(lines) + "\n"


def configure(options: Options, machine: Machine) -> Configuration:
    """Return the configuration for these options on this machine."""
    steps = _make_addresses(options), _make_limits(options, machine), _make_rest(options, machine)
    computed = {setting.name: setting for step in steps for setting in step}
    tuned = (setting for setting in TUNED if setting.name not in computed)
    return Configuration((*computed.values(), *tuned))


def compute_heap_size(machine: Machine) -> int:
    """Return the heap that Java may fill."""
    return int(min(max(machine.memory * _HEAP_SHARE, _LEAST_HEAP), _MOST_HEAP))


def compute_queue_size(options: Options, machine: Machine) -> int:
    """Return how many requests may wait for a worker of a model.

    Their bodies wait in the heap: so many as fill three quarters of it, but enough for a ward's
    clients, since few requests are as large as they may be.
    """
    fitting = compute_heap_size(machine) * 3 // 4 // options.max_body
    return max(_LEAST_QUEUE, min(fitting, _MOST_QUEUE))


def count_workers(options: Options, machine: Machine) -> int:
    """Return the number of workers of a model that does not say it."""
    return options.workers or max(1, machine.gpus)


def _property(name: str, value: object, reason: str) -> Setting:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Setting("property", name, text, reason)


def _make_addresses(options: Options) -> Iterator[Setting]:
    reach = "others can reach it" if options.is_reachable else "this machine only"
    yield _property(
        "inference_address",
        f"{options.scheme}://{options.host}:{options.port}",
        f"where predictions are answered: {reach}",
    )
    yield _property(
        "management_address",
        f"http://127.0.0.1:{options.management_port}",
        "who reaches this can load code: this machine only, always",
    )
    yield _property(
        "metrics_address",
        f"http://127.0.0.1:{options.metrics_port}",
        "it asks for no token: this machine only",
    )
    for name in ("grpc_inference_port", "grpc_management_port"):
        yield _property(name, 0, "gRPC is not used: any free port, so that servers do not collide")
    if options.tls_cert is not None:
        yield _property("certificate_file", options.tls_cert, "the certificate and its chain, PEM")
        yield _property("private_key_file", options.tls_key, "its RSA key, PEM, not encrypted")
    yield _property(
        "disable_token_authorization",
        not options.token_auth,
        "clients send a token" if options.token_auth else "no token is asked for",
    )
    if options.token_auth:
        yield _property(
            "token_expiration_min",
            _TOKEN_MINUTES,
            "a year: each start makes new tokens; one that expires in the night stops the service",
        )


def _make_limits(options: Options, machine: Machine) -> Iterator[Setting]:
    queue = compute_queue_size(options, machine)
    yield _property("max_request_size", options.max_body, "bytes; a larger body is answered 413")
    yield _property(
        "max_response_size", options.max_body, "bytes; a larger reply would kill the worker"
    )
    yield _property(
        "job_queue_size",
        queue,
        "requests that wait, for each model; one more is answered 503; full of the largest: "
        f"{_format_gib(queue * options.max_body)} GiB",
    )
    yield Setting(
        "vmarg",
        "-Xmx",
        f"{compute_heap_size(machine) // MIB}m",
        f"heap, where bodies wait: {_HEAP_SHARE:.0%} of {_format_gib(machine.memory)} GiB; the "
        "models need the rest",
    )
    direct = max(int(machine.memory * _DIRECT_SHARE), 2 * options.max_body)
    yield Setting(
        "vmarg",
        "-XX:MaxDirectMemorySize=",
        f"{direct // MIB}m",
        "where bodies come and go: a quarter of the memory, or two bodies",
    )


def _make_rest(options: Options, machine: Machine) -> Iterator[Setting]:
    number = count_workers(options, machine)
    yield _property(
        "default_workers_per_model",
        number,
        f"processes for each model that does not say it; {machine.cores} cores, "
        f"{machine.gpus or 'no'} GPUs",
    )
    yield _property("default_response_timeout", options.response_timeout, "seconds for an answer")
    yield _property("default_startup_timeout", options.startup_timeout, "seconds for loading")
    yield _property(
        "decode_input_request", False, "bodies reach the handler as they are; it reads them itself"
    )
    yield _property("allowed_urls", "none", "no model is ever fetched from an address")
    yield _property("metrics_mode", "prometheus", "metrics are at /metrics instead of in a log")
    yield _property(
        "model_metrics_auto_detect", True, "the handler's own metrics are there as well"
    )
    yield Setting(
        "environment",
        "PYTHONFAULTHANDLER",
        "1",
        "a worker that crashes, or is aborted because it hangs, says where",
    )


def _format_gib(count: float) -> str:
    return f"{count / GIB:.1f}"


def _escape(value: str) -> str:
    """Return a value as Java's ``Properties.load`` reads it: ISO 8859-1, with escapes."""
    text = value.replace("\\", "\\\\")
    units = text.encode("utf-16-be")
    numbers = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(each) if 32 <= each < 127 else f"\\u{each:04x}" for each in numbers)


def render_variables(settings: Sequence[Setting]) -> str:
    """Return environment variables as lines for a shell, with a comment for each."""
    lines = (f"# {each.reason}\nexport {each.name}={each.value}" for each in settings)
    return "\n".join(lines) + "\n"
