"""A server of Ray Serve: ``python -m serving_benchmark.servers.ray_serve PORT``."""

import os
import signal
import sys
import tempfile

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.requests import Request
from starlette.responses import Response

from serving_benchmark import models

TASK = os.environ["BENCHMARK_TASK"]


@serve.deployment(num_replicas=1, max_ongoing_requests=64)
class Model:
    """Bytes to bytes."""

    def __init__(self) -> None:
        self.model = models.make(TASK)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        output = models.predict(self.model, TASK, await request.body())
        return Response(output.tobytes(), media_type="application/octet-stream")


def main(port: int) -> None:
    """Serve until the process gets a signal."""
    ray.init(
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        logging_level="warning",
        _temp_dir=tempfile.gettempdir(),
    )
    quiet = LoggingConfig(log_level="WARNING", enable_access_log=False)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port), logging_config=quiet)
    serve.run(Model.options(logging_config=quiet).bind())
    try:
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    finally:
        ray.shutdown()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(int(sys.argv[1]))
