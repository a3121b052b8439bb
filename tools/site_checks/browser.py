"""A Chromium without windows, driven through the DevTools protocol over a pair of pipes.

Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: It asks nobody on the network, and writes only into its own folder.
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
)
_LIMIT = 30.0
#: What a page may not have: errors, warnings, and files that do not come.
_LOUD = ("error", "warning", "assert")


class BrowserFailed(RuntimeError):
    """The browser is not there, ended, or refused a command."""


class Browser:
    """One page of a browser, until it is left as a context.

    :raises BrowserFailed: if no Chromium is on the path.
    """

    def __init__(self) -> None:
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise BrowserFailed(f"no browser is on the path: expected one of {', '.join(NAMES)}")
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        read_commands, self._commands = os.pipe()
        self._replies, write_replies = os.pipe()
        command = [program, *OPTIONS, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = _start(command, read_commands, write_replies)
        self._received, self._number = b"", 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Browser:  # noqa: PYI034 - Self is Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the browser, and remove its folder."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._commands)
        os.close(self._replies)
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, url: str, width: int, height: int = 900) -> list[str]:
        """Open an address, and return what went wrong on the page until it was loaded."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)
        self._events.clear()
        self._call("Page.navigate", url=url)
        deadline = time.monotonic() + _LIMIT
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive(deadline)
        self.evaluate("document.fonts.ready.then(() => true)")
        return self.complaints()

    def complaints(self) -> list[str]:
        """Return errors and warnings of the page, since it was opened."""
        found = (_complaint(event["method"], event["params"]) for event in self._events)
        return [each for each in found if each]

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in JavaScript; of a promise, what it promises."""
        given = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        reply = self._call("Runtime.evaluate", **given)
        if "exceptionDetails" in reply:
            raise BrowserFailed(f"{expression}: {reply['exceptionDetails']}")
        return reply["result"].get("value")

    def picture(self, path: Path, height: int) -> None:
        """Write the page from its top, as high as it is but not higher than that, as PNG."""
        size = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], height), "scale": 1}
        given = {"clip": clip, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", **given)["data"]))

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _LIMIT
        while True:
            reply = self._receive(deadline)
            if reply.get("id") == self._number:
                if "error" in reply:
                    raise BrowserFailed(f"{method}: {reply['error']['message']}")
                return reply["result"]

    def _receive(self, deadline: float) -> dict[str, Any]:
        """Return the next message, and keep it if it is an event."""
        while b"\0" not in self._received:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._replies], [], [], left)[0]:
                raise BrowserFailed("the browser does not answer")
            part = os.read(self._replies, 1 << 20)
            if not part:
                raise BrowserFailed("the browser ended")
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        found = json.loads(message)
        if "method" in found:
            self._events.append(found)
        return found


def _start(command: list[str], commands: int, replies: int) -> subprocess.Popen[bytes]:
    """Start a browser that reads commands from its descriptor 3, and replies on 4."""
    given = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 10) for each in (commands, replies)]

    def place() -> None:
        for number, descriptor in enumerate(given, 3):
            os.dup2(descriptor, number)

    try:
        return subprocess.Popen(
            command,
            pass_fds=(3, 4),
            preexec_fn=place,  # noqa: PLW1509 - there are no threads yet
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        for descriptor in (commands, replies, *given):
            os.close(descriptor)


def _complaint(method: str, params: dict[str, Any]) -> str:
    """Return what an event of the page says is wrong, if it does."""
    if method == "Runtime.consoleAPICalled" and params["type"] in _LOUD:
        words = [str(each.get("value", each.get("description"))) for each in params["args"]]
        return f"console: {' '.join(words)}"
    if method == "Runtime.exceptionThrown":
        details = params["exceptionDetails"]
        return f"exception: {details.get('exception', {}).get('description', details['text'])}"
    if method == "Log.entryAdded" and params["entry"]["level"] in _LOUD:
        return f"log: {params['entry']['text']} {params['entry'].get('url', '')}"
    if method == "Network.loadingFailed" and not params.get("canceled"):
        return f"network: {params['errorText']}"
    if method == "Network.responseReceived" and params["response"]["status"] >= 400:
        return f"network: {params['response']['status']} {params['response']['url']}"
    return ""
