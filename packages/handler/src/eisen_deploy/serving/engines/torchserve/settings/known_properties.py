"""The properties of TorchServe 0.12.0, and how it reads their values.

Source: ``frontend/server/src/main/java/org/pytorch/serve/util/ConfigManager.java`` of
pytorch/serve; names, defaults and the fields whose names are environment variables were taken from
the class in the 0.12.0 release (``ts/frontend/model-server.jar``), which is newer than most copies
of the source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from eisen_deploy.serving.engines.options import is_loopback
from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE, STOCK_TIMEOUT

MAX_INT = 2**31 - 1
MAX_LONG = 2**63 - 1
_LINE_END = re.compile(r"\r\n|\r|\n")
# As ConfigManager has it: no path, no IPv6.
_ADDRESS = re.compile(r"(https?)://([^:^/]+)(?::(\d+))?|unix:(/.*)", re.IGNORECASE)
#: The addresses, each with the ports that it has by default.
ADDRESSES = {
    "inference_address": {"http": 80, "https": 443},
    "management_address": {"http": 8081, "https": 8444},
    "metrics_address": {"http": 8082, "https": 8445},
}
_SIZE = re.compile(r"(\d+)([kmgt]?)b?", re.IGNORECASE)


@dataclass(frozen=True)
class Property:
    """One property.

    :param kind: ``text``, ``int``, ``long``, ``double``, ``bool``, ``address`` or ``json``.
    :param default: as text; ``None`` where there is none, or where it depends on the machine.
    :param variable: the environment variable that overrides it if ``enable_envvars_config`` is
        true; empty where none does.
    """

    kind: str = "text"
    default: str | None = None
    variable: str = ""


# A kind, then each property with its default, where it has one.
_OVERRIDABLE = f"""
address inference_address=http://127.0.0.1:8080
address management_address=http://127.0.0.1:8081
address metrics_address=http://127.0.0.1:8082
int     default_workers_per_model=0 job_queue_size=100 number_of_gpu
int     number_of_netty_threads=0 netty_client_threads=0
int     default_response_timeout={STOCK_TIMEOUT} default_startup_timeout={STOCK_TIMEOUT}
int     unregister_model_timeout={STOCK_TIMEOUT}
int     max_request_size={STOCK_SIZE} max_response_size={STOCK_SIZE}
int     grpc_inference_port=7070 grpc_management_port=7071
int     initial_worker_port=9000 initial_distribution_port=29500
long    grpc_inference_max_connection_age_ms={MAX_LONG}
long    grpc_inference_max_connection_age_grace_ms={MAX_LONG}
long    grpc_management_max_connection_age_ms={MAX_LONG}
long    grpc_management_max_connection_age_grace_ms={MAX_LONG}
bool    debug=false model_metrics_auto_detect=false disable_system_metrics=false
bool    ipex_enable=false ipex_gpu_enable=false cpu_launcher_enable=false async_logging=false
bool    decode_input_request=true limit_max_image_pixels=true prefer_direct_buffer=false
bool    install_py_dep_per_model=false enable_metrics_api=true enable_grpc_ssl=false
bool    disable_token_authorization=false enable_model_api=false ts_open_inference_protocol=false
text    load_models model_store workflow_store model_server_home blacklist_env_vars
text    metrics_config metrics_mode=log cpu_launcher_args cpp_log_config
text    cors_allowed_origin cors_allowed_methods cors_allowed_headers
text    keystore keystore_pass=changeit keystore_type=PKCS12 certificate_file private_key_file
text    default_service_handler service_envelope allowed_urls=file://.*|http(s)?://.*
text    grpc_inference_address=127.0.0.1 grpc_management_address=127.0.0.1
text    ts_header_key_sequence_id ts_header_key_sequence_start ts_header_key_sequence_end
double  token_expiration_min=60
"""
# No variable overrides these; the launcher, a Python program, reads the last two.
_ONLY_IN_FILE = """
bool    use_native_io=true enable_envvars_config=false use_env_allowed_urls=false
int     io_ratio=50 metric_time_interval=60
json    model_snapshot models
text    version system_metrics_cmd python=python tsConfigFile
text    vmargs plugins_path
"""
# As ConfigManager's fields are called, all but this one by the property's own name.
_ODD_VARIABLES = {"token_expiration_min": "TS_TOKEN_EXPIRATION_TIME_MIN"}


def _read_table(text: str, *, overridable: bool) -> Iterator[tuple[str, Property]]:
    for line in text.strip().splitlines():
        kind, *entries = line.split()
        for name, _, default in (entry.partition("=") for entry in entries):
            variable = _ODD_VARIABLES.get(name, f"TS_{name.removeprefix('ts_').upper()}")
            yield name, Property(kind, default or None, variable if overridable else "")


PROPERTIES: dict[str, Property] = {
    **dict(_read_table(_OVERRIDABLE, overridable=True)),
    **dict(_read_table(_ONLY_IN_FILE, overridable=False)),
}


@dataclass(frozen=True)
class Address:
    """Where one of the server's interfaces listens; a Unix socket has no port."""

    name: str
    scheme: str
    host: str
    port: int | None

    @property
    def is_open(self) -> bool:
        """Whether other machines reach it."""
        return self.port is not None and not is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + ("" if self.port is None else f":{self.port}")


def parse_as_launcher(raw: bytes) -> dict[str, str]:
    """Read a file as the launcher ``torchserve`` does (``ts.model_server.load_properties``).

    A line, an equals sign, no continuation, no escapes: it agrees with Java on simple lines only.
    """
    values = {}
    for line in _LINE_END.split(raw.decode("utf-8", "replace")):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = value.strip()
    return values


def parse_address(name: str, text: str) -> Address | None:
    """Read an address of an interface; ``None`` if TorchServe would refuse it."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    scheme, host, port, path = match.groups()
    if path is not None:
        return Address(name, "unix", path, None)
    number = int(port) if port else ADDRESSES[name][scheme.lower()]
    return Address(name, scheme.lower(), host, number) if number <= 65535 else None


def parse_java_int(text: str, limit: int = MAX_INT) -> int | None:
    """Return what Java's ``Integer.parseInt`` returns, ``None`` where it refuses."""
    number = int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None
    return None if number is None or not -limit - 1 <= number <= limit else number


def parse_object(text: str) -> dict[str, object] | None:
    """Return a JSON object; ``None`` for anything else."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def parse_size(text: str) -> int | None:
    """Return a size of Java's command line, as ``512m``, in bytes."""
    match = _SIZE.fullmatch(text)
    return int(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ") if match else None
