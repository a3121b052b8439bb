"""What is asked of Ray: a process on the head, to which :mod:`.cluster` writes a JSON line each.

It deploys a configuration as ``serve run CONFIG`` does. Ray's dashboard could do the same, but it
is a dozen processes more.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import ray
from ray.serve._private.api import serve_start
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema


def answer(request: dict[str, Any]) -> object:
    """Return what Ray says."""
    if request["ask"] == "nodes":
        return sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"])
    if request["ask"] == "deploy":
        configuration = ServeDeploySchema.model_validate(request["configuration"])
        client = serve_start(
            http_options=configuration.http_options.model_dump(),
            proxy_location=configuration.proxy_location,
            global_logging_config=configuration.logging_config,
        )
        client.deploy_apps(configuration)
        return None
    client = _get_global_client(raise_if_no_controller_running=False)
    return {} if client is None else client.get_serve_details()


def main() -> None:
    """Answer, until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints is no answer
    ray.init(sys.argv[1], namespace="serve", log_to_driver=False)
    for line in sys.stdin:
        try:
            said = {"answer": answer(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - whatever Ray raises, the other side waits
            said = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(said, default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
