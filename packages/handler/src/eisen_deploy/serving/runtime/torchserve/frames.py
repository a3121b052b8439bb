"""``receiving`` and ``sending`` in the place of TorchServe's own functions, if they are known ones.

A worker serves one model only, so nothing else is affected. Who calls what is replaced:
``ts/service.py`` and ``ts/model_service_worker.py`` of TorchServe 0.12.
"""

from __future__ import annotations

import inspect
import logging
import sys
from types import ModuleType

from .receiving import make_retriever
from .sending import make_responder

_log = logging.getLogger("eisen_deploy.serving")

#: The TorchServe whose functions these replace.
VERSION = "0.12.0"


def install() -> bool:
    """Replace TorchServe's functions in this worker, if they are those that are known.

    :returns: whether they are replaced, so that it takes replies as :class:`~.sending.Parts`.
    """
    program, server, codec, service = map(sys.modules.get, _MODULES)
    if server is None or codec is None or service is None:
        return False
    if is_installed():
        return True
    if getattr(program, "retrieve_msg", None) is not getattr(codec, "retrieve_msg", ...):
        return False  # this process is not TorchServe's worker, whatever it has imported
    difference = _find_difference(server, codec, service)
    if difference:
        _log.info("%s: bodies are copied as this TorchServe does it", difference)
        return False
    received: list[bytearray] = []
    respond = make_responder(service.create_predict_response, received)
    vars(codec)["_retrieve_buffer"] = make_retriever(received)
    vars(service)["create_predict_response"] = respond
    return True


def is_installed() -> bool:
    """Whether this worker sends :class:`~.sending.Parts`."""
    function = getattr(sys.modules.get("ts.service"), "create_predict_response", None)
    return getattr(function, "__module__", None) == make_responder.__module__


_MODULES = ("__main__", "ts", "ts.protocol.otf_message_handler", "ts.service")
_SIGNATURES = {
    "_retrieve_buffer": ["conn", "length"],
    "create_predict_response": [
        *("ret", "req_id_map", "message", "code", "context", "ts_stream_next"),
    ],
}


def _find_difference(server: ModuleType, codec: ModuleType, service: ModuleType) -> str | None:
    """Return what is not as in the TorchServe that is known."""
    version = getattr(server, "__version__", "of no version")
    if version != VERSION:
        return f"TorchServe {version}"
    for module, (name, parameters) in zip((codec, service), _SIGNATURES.items(), strict=True):
        function = getattr(module, name, None)
        if not inspect.isfunction(function):
            return f"no function {name}"
        if list(inspect.signature(function).parameters) != parameters:
            return f"{name} with other parameters"
    return None
