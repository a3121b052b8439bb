"""A handler for TorchServe that knows nothing of Eisen-Deploy."""

import json

import torch
from ts.torch_handler.base_handler import BaseHandler


class Plain(BaseHandler):
    def preprocess(self, data):
        return torch.tensor([json.loads(bytes(row["body"])) for row in data])

    def postprocess(self, data):
        return data.tolist()
