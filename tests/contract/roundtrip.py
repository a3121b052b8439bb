"""Pack, serve and query in one process, with whatever versions are installed; prints them.

Packs a model, unpacks the archive, has its own handler answer over HTTP, and queries it with the
client. Exits with an error if any step fails or the answer is wrong.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from eisen_deploy.client import EisenServingClient
from eisen_deploy.packaging import EisenServingMAR, create_metadata


class Context:
    """What the handler uses of TorchServe's context."""

    def __init__(self, folder, headers=None):
        self.system_properties = {"model_dir": str(folder), "gpu_id": None}
        self.model_name, self.manifest = "model", {"model": {"modelVersion": "1.0"}}
        self.request_headers, self.headers, self.status = headers, {}, 200

    def get_all_request_header(self, index):
        return dict(self.request_headers)

    def set_response_status(self, code, phrase, index):
        self.status = code

    def set_response_header(self, index, name, value):
        self.headers[name] = value


def main(folder):
    metadata = create_metadata(["x"], ["ndarray"], [[-1, 2]], ["y"], ["ndarray"], [[-1, 2]])
    mar = EisenServingMAR(lambda data: {"x": data["x"] + 1}, None, metadata)
    archive = mar.pack(torch.nn.Softplus(), folder, "model", "1.0")
    unpacked = folder / "unpacked"
    zipfile.ZipFile(archive).extractall(unpacked)
    sys.path.insert(0, str(unpacked))
    from _eisen_serving.torchserve import entry

    entry.handle(None, Context(unpacked))

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self):
            body = bytearray(self.rfile.read(int(self.headers["Content-Length"])))
            context = Context(unpacked, self.headers.items())
            (answer,) = entry.handle([{"body": body}], context)
            self.send_response(context.status)
            for name, value in {**context.headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    x = np.float32([[1, 2]])
    url = f"http://127.0.0.1:{server.server_port}/predictions/model"
    with EisenServingClient(url, validate_inputs=True) as client:
        y = client.predict({"x": x})["y"]
    np.testing.assert_allclose(y, np.log1p(np.exp(x + 1)), rtol=1e-6)
    names = ("client", "handler", "packaging")
    print(json.dumps({name: version(f"eisen-deploy-{name}") for name in names}))


with tempfile.TemporaryDirectory() as temporary:
    main(Path(temporary))
