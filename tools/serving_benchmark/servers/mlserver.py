"""A model of MLServer."""

import os

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from serving_benchmark import models

TASK = os.environ["BENCHMARK_TASK"]


class Model(MLModel):
    """Bytes to bytes."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = models.make(TASK)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        output = models.predict(self.model, TASK, payload.inputs[0].data.root[0])
        reply = ResponseOutput(name="y", shape=[1], datatype="BYTES", data=[output.tobytes()])
        return InferenceResponse(model_name=self.name, outputs=[reply])
