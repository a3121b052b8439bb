"""Predictions from asynchronous code: a thread waits for them, and ends when the task does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from eisen_deploy.client import Cancellation, EisenServingClient


async def predict(
    client: EisenServingClient, batch: Mapping[str, Any], **options: Any
) -> dict[str, Any]:
    """Run the model on a batch; cancelling the task ends the request too."""
    cancel = Cancellation()
    try:
        return await asyncio.to_thread(client.predict, batch, cancel=cancel, **options)
    finally:
        cancel.cancel()  # does nothing if the prediction is finished
