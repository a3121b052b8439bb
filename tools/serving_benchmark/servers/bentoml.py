"""A service of BentoML: ``bentoml serve serving_benchmark.servers.bentoml:Model``."""

import os

import bentoml
import numpy as np

from serving_benchmark import models

TASK = os.environ["BENCHMARK_TASK"]


@bentoml.service(workers=1, traffic={"timeout": 900}, logging={"access": {"enabled": False}})
class Model:
    """The model, which can be called in two ways."""

    def __init__(self) -> None:
        self.model = models.make(TASK)

    @bentoml.api
    def of_bytes(self, x: bytes, /) -> bytes:
        """Bytes to bytes."""
        return models.predict(self.model, TASK, x).tobytes()

    @bentoml.api
    def of_array(self, x: np.ndarray) -> np.ndarray:
        """Array to array."""
        return models.predict(self.model, TASK, x.astype(np.float32, copy=False))
