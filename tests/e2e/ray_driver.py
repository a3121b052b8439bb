"""A local Ray Serve, told by lines of JSON on its input what to run: ``ray_driver.py PORT``.

It says first where the node's metrics are. ``{"run": {PREFIX: ARGUMENTS, ...}}`` is answered with
``{}`` once all of it runs, or with ``{"error": ...}``. It ends, and Ray with it, when its input
does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

import ray
from ray import serve

from eisen_deploy.serving.ray import Arguments, build


def run(applications):
    targets = [
        serve.RunTarget(
            build(Arguments.model_validate(arguments)), prefix.strip("/") or "alone", prefix
        )
        for prefix, arguments in applications.items()
    ]
    serve.run_many(targets)


def start_ray(tries=5):
    """Start it; on a busy machine Ray itself gives up after 30 seconds."""
    try:
        ray.init(
            num_cpus=16,  # by name: most of them wait
            include_dashboard=False,
            object_store_memory=300 * 2**20,
            _temp_dir=tempfile.gettempdir(),
        )
    except Exception:
        if tries == 1:
            raise
        ray.shutdown()
        start_ray(tries - 1)


def main(port):
    start_ray()
    serve.start(http_options={"host": "127.0.0.1", "port": int(port), "request_timeout_s": 60})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    [node] = ray.nodes()
    print(json.dumps({"metrics_port": node["MetricsExportPort"]}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            run(json.loads(line)["run"])
            answer = {}
        except Exception as error:  # noqa: BLE001 - it is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
