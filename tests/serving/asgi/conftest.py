"""A real uvicorn with the application in it, before a model that a test makes."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import uvicorn

from eisen_deploy.serving.engines.asgi.application import Application, Model
from eisen_deploy.serving.engines.asgi.batcher import Batcher
from eisen_deploy.serving.engines.asgi.settings import Settings
from eisen_deploy.serving.engines.uvicorn.protocol import BoundedProtocol
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime.messages import Reply


class Served:
    """A server on a port of its own."""

    def __init__(self, answer, settings, *, size=1, delay=0.0, timeout=30.0, **server):
        kind = server.pop("kind", uvicorn.Server)
        self.listener = server.pop("listener", None) or socket.create_server(("127.0.0.1", 0))
        self.batcher = Batcher(
            answer, size=size, delay=delay, queue=settings.queue, timeout=timeout
        )
        model = Model("seg", "2.0", Metadata.parse({}))
        application = Application(model, self.batcher, settings, lambda: b"numbers 1\n")
        self._server = kind(
            uvicorn.Config(
                application,
                http=BoundedProtocol,
                lifespan="off",
                log_config=None,
                timeout_graceful_shutdown=1,
                **server,
            )
        )
        self.port = self.listener.getsockname()[1]
        self._threads = [
            threading.Thread(target=self._run, daemon=True),
            threading.Thread(target=self._answer, daemon=True),
        ]

    def _run(self):
        loop = (self._server.config.get_loop_factory() or asyncio.new_event_loop)()
        loop.run_until_complete(self._server.serve(sockets=[self.listener]))
        loop.close()

    def _answer(self):
        with contextlib.suppress(KeyboardInterrupt):  # which a model raised
            self.batcher.run()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._server.should_exit = True
        self._threads[0].join(10)
        self.batcher.close()

    def ask(self, method="POST", path="/predictions/seg", body=b"x", **headers):
        """Return status, headers and body of an answer, JSON already read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            answer = connection.getresponse()
            content = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
            is_json = found.get("content-type") == "application/json" and content
            return answer.status, found, json.loads(content) if is_json else content
        finally:
            connection.close()

    @property
    def connections(self):
        """The connections that are open."""
        return self._server.server_state.connections

    def connect(self):
        """Return a socket to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


def echo(requests):
    """Answer each request with its own body."""
    return [Reply((bytes(each.body),)) for each in requests]


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start a server: ``serve(answer, max_body=..., ...)``; it ends with the test."""
    with ExitStack() as stack:

        def _serve(answer=echo, *, size=1, delay=0.0, timeout=30.0, server=None, **settings):
            options = {"size": size, "delay": delay, "timeout": timeout, **(server or {})}
            served = Served(answer, Settings(**settings), **options)
            return stack.enter_context(served)

        yield _serve
