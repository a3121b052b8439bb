"""What a model and its transforms give where they were written, for the test to compare with."""

from __future__ import annotations

import numpy as np
import torch


def save(path, pre_processing, model, post_processing, metadata, batches):
    """Write inputs and outputs of each batch as ``<batch>/inputs/<name>`` and so on."""
    arrays = {}
    for title, batch in batches.items():
        outputs = predict(pre_processing, model, post_processing, metadata, batch)
        arrays |= {f"{title}/inputs/{name}": array for name, array in batch.items()}
        arrays |= {f"{title}/outputs/{name}": array for name, array in outputs.items()}
    np.savez(path, **arrays)


def predict(pre_processing, model, post_processing, metadata, batch):
    data = {name: array.copy() for name, array in batch.items()}  # transforms may write into them
    data = pre_processing(data) if pre_processing else data
    arguments = [torch.as_tensor(data[name]).float() for name in metadata["model_input_list"]]
    with torch.inference_mode():
        result = model(*arguments)
    if isinstance(result, torch.Tensor):
        result = [result]
    if not isinstance(result, dict):
        result = dict(zip(metadata["model_output_list"], result))
    data |= {name: np.asarray(tensor) for name, tensor in result.items()}
    data = post_processing(data) if post_processing else data
    return {
        declared["name"]: np.asarray(data[declared["name"]]) for declared in metadata["outputs"]
    }
