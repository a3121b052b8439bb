"""The properties of TorchServe 0.12.0, as data.

Source: ``frontend/server/src/main/java/org/pytorch/serve/util/ConfigManager.java`` of
pytorch/serve; names, defaults and the fields whose names are environment variables were taken from
the class in the 0.12.0 release (``ts/frontend/model-server.jar``), which is newer than most copies
of the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from eisen_deploy.serving.runtime.torchserve.server_config import STOCK_SIZE

MAX_INT = 2**31 - 1
MAX_LONG = 2**63 - 1


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


def _of(kind: str, **defaults: object) -> dict[str, Property]:
    """Return properties of one kind, each with the variable that is named as it is."""
    return {
        name: Property(kind, None if default is None else str(default), f"TS_{name.upper()}")
        for name, default in defaults.items()
    }


PROPERTIES: dict[str, Property] = {
    **_of(
        "address",
        inference_address="http://127.0.0.1:8080",
        management_address="http://127.0.0.1:8081",
        metrics_address="http://127.0.0.1:8082",
    ),
    **_of(
        "int",
        default_workers_per_model=0,
        default_response_timeout=120,
        default_startup_timeout=120,
        unregister_model_timeout=120,
        number_of_netty_threads=0,
        netty_client_threads=0,
        job_queue_size=100,
        number_of_gpu=None,
        max_request_size=STOCK_SIZE,
        max_response_size=STOCK_SIZE,
        grpc_inference_port=7070,
        grpc_management_port=7071,
        initial_worker_port=9000,
        initial_distribution_port=29500,
    ),
    **_of(
        "long",
        grpc_inference_max_connection_age_ms=MAX_LONG,
        grpc_management_max_connection_age_ms=MAX_LONG,
        grpc_inference_max_connection_age_grace_ms=MAX_LONG,
        grpc_management_max_connection_age_grace_ms=MAX_LONG,
    ),
    **_of(
        "bool",
        debug="false",
        model_metrics_auto_detect="false",
        disable_system_metrics="false",
        ipex_enable="false",
        ipex_gpu_enable="false",
        cpu_launcher_enable="false",
        async_logging="false",
        decode_input_request="true",
        limit_max_image_pixels="true",
        prefer_direct_buffer="false",
        install_py_dep_per_model="false",
        enable_metrics_api="true",
        enable_grpc_ssl="false",
        disable_token_authorization="false",  # noqa: S106 - a switch
        enable_model_api="false",
    ),
    **_of(
        "text",
        load_models=None,
        blacklist_env_vars="",
        metrics_config=None,
        metrics_mode="log",
        cpu_launcher_args=None,
        cors_allowed_origin=None,
        cors_allowed_methods=None,
        cors_allowed_headers=None,
        keystore=None,
        keystore_pass="changeit",  # noqa: S106 - the stock one
        keystore_type="PKCS12",
        certificate_file=None,
        private_key_file=None,
        default_service_handler=None,
        service_envelope=None,
        model_server_home=None,
        model_store=None,
        workflow_store=None,
        cpp_log_config=None,
        allowed_urls="file://.*|http(s)?://.*",
        grpc_inference_address="127.0.0.1",
        grpc_management_address="127.0.0.1",
    ),
    # Named otherwise than their variables, or without one.
    "ts_header_key_sequence_id": Property(variable="TS_HEADER_KEY_SEQUENCE_ID"),
    "ts_header_key_sequence_start": Property(variable="TS_HEADER_KEY_SEQUENCE_START"),
    "ts_header_key_sequence_end": Property(variable="TS_HEADER_KEY_SEQUENCE_END"),
    "ts_open_inference_protocol": Property("bool", "false", "TS_OPEN_INFERENCE_PROTOCOL"),
    "token_expiration_min": Property("double", "60", "TS_TOKEN_EXPIRATION_TIME_MIN"),
    "use_native_io": Property("bool", "true"),
    "io_ratio": Property("int", "50"),
    "metric_time_interval": Property("int", "60"),
    "enable_envvars_config": Property("bool", "false"),
    "use_env_allowed_urls": Property("bool", "false"),
    "model_snapshot": Property("json"),
    "models": Property("json"),
    "version": Property(),
    "system_metrics_cmd": Property("text", ""),
    "python": Property("text", "python"),
    "tsConfigFile": Property(),
    # Read by the launcher, a Python program.
    "vmargs": Property(),
    "plugins_path": Property(),
}
