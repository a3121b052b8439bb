"""Our archive on Ray Serve: ``python -m serving_benchmark.servers.eisen_ray PORT ARCHIVE MOST``."""

import os
import signal
import sys
import tempfile

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from eisen_deploy.serving.ray import Arguments, build


def main(port: int, archive: str, max_body: int) -> None:
    """Serve until the process gets a signal."""
    ray.init(
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        logging_level="warning",
        _temp_dir=tempfile.gettempdir(),
    )
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    cache = f"{tempfile.gettempdir()}/cache"  # Ray lets everybody write to its own folder
    arguments = {"archives": [archive], "max_body": max_body, "cache": cache}
    serve.run(build(Arguments.model_validate(arguments)))
    try:
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    finally:
        ray.shutdown()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
