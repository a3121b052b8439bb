"""What a TorchServe allows a worker, which it does not say to the worker itself.

TorchServe kills a worker that replies with more than ``max_response_size`` bytes or takes longer
than the response timeout, and answers every request of its batch with 500, *Worker died*. So a
session checks both before, and its errors name the setting to change.
"""

from __future__ import annotations

from .._shared.model.serving_options import ServingOptions
from ..answering.budget import leave_margin
from ..answering.limits import Limits
from .server_config import STOCK_TIMEOUT, ServerConfig

#: TorchServe's frames hold sizes as four bytes with a sign.
MAX_REPLY = 2**31 - 1


def find_limits(
    server: ServerConfig, name: str, version: str, options: ServingOptions, *, has_file: bool
) -> Limits:
    """Return what a TorchServe allows the worker of a model.

    :param name: under which the model is registered.
    :param has_file: whether the archive has a ``model-config.yaml``: then the server's default
        timeout does not hold for it, and 120 s do where the file names none. Source: TorchServe
        0.12, ``ModelConfig`` and ``ModelManager.createModel``.
    """
    timeout = options.response_timeout
    if timeout is None and server.default_response_timeout is not None:
        of_server = server.find_setting(name, version, "responseTimeout")
        timeout = STOCK_TIMEOUT if has_file else of_server or server.default_response_timeout
    size = server.max_response_size
    reply = MAX_REPLY if size is None else min(size, MAX_REPLY)
    return Limits(
        reply=reply,
        reply_setting=f"the server's max_response_size is {reply} ({server.source})",
        seconds=None if timeout is None else leave_margin(timeout),
        seconds_setting=f"responseTimeout is {timeout} s",
        request=server.max_request_size,
    )
