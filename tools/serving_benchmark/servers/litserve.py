"""A server of LitServe: ``python -m serving_benchmark.servers.litserve bytes|json PORT``."""

import os
import sys
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Depends, Request, Response

from serving_benchmark import models

TASK = os.environ["BENCHMARK_TASK"]


async def body(request: Request) -> np.ndarray:
    """Return the request's body as an array, because LitServe turns anything else into a string."""
    return np.frombuffer(await request.body(), np.uint8)


class Bytes(litserve.LitAPI):
    """Bytes to bytes."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe names it
        """Load the model."""
        self.model = models.make(TASK)

    def decode_request(self, request: Annotated[np.ndarray, Depends(body)]) -> np.ndarray:
        """Return the body."""
        return request

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Run the model."""
        return models.predict(self.model, TASK, x)

    def encode_response(self, output: np.ndarray) -> Response:
        """Return the array's bytes."""
        return Response(output.tobytes(), media_type="application/octet-stream")


class Json(Bytes):
    """JSON to JSON."""

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """Return the array."""
        return np.array(request["x"], np.float32)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """Return the numbers."""
        return {"y": output.tolist()}


if __name__ == "__main__":
    kind, port = sys.argv[1:]
    api = {"bytes": Bytes, "json": Json}[kind]()
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=1, timeout=False, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(port),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
