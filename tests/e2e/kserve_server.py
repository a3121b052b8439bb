"""KServe's own ModelServer, with an archive's application in front of what KServe answers.

Usage: ``python kserve_server.py ARCHIVE PORT``.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import kserve
from kserve.model_server import app

from eisen_deploy.serving.engines.asgi.addresses import parse_path
from eisen_deploy.serving.engines.asgi.serving import serve_archive
from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.runtime._shared.archive import zips


class Front:
    """Answers what the archive's application knows; everything else is KServe's."""

    def __init__(self, app, application):
        self._rest, self._application = app, application

    async def __call__(self, scope, receive, send):
        is_ours = scope["type"] == "http" and parse_path(scope["path"]) is not None
        await (self._application if is_ours else self._rest)(scope, receive, send)


def main(archive, port):
    with tempfile.TemporaryDirectory() as folder:
        zips.unpack(Path(archive), Path(folder))
        served = serve_archive(Path(folder), Settings(max_body=2**20), on_main_thread=False)
        threading.Thread(target=served.batcher.run, daemon=True).start()
        app.add_middleware(Front, application=served.application)
        model = kserve.Model("seg")
        model.load()
        kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1).start([model])


if __name__ == "__main__":
    main(*sys.argv[1:])
