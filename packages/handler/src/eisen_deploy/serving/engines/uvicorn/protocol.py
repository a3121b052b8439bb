"""uvicorn's HTTP protocol, bounded where uvicorn is not, in time and in size.

uvicorn waits for ever for a connection's first request and for a client that does not read its
answer, keeps headers and trailers of any size, and takes trailers for headers.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from eisen_deploy.serving.engines.asgi.bodies import FILL, Patience
from eisen_deploy.serving.engines.asgi.replies import error_reply
from eisen_deploy.serving.runtime._shared.wire.protocol import JSON_TYPE
from eisen_deploy.serving.runtime.errors import MalformedBody

from .filling import Filling

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: Seconds from a connection, or from the first byte of a further request, to the end of its head.
HEAD_SECONDS = 30.0
#: Bytes of a request's first line and headers; of what else is no body between two pieces of one.
HEAD_BYTES = 64 * 2**10
#: Seconds in which a client has to take something of an answer that waits for it.
WRITE_SECONDS = 60.0


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections whose requests have no end to their head, or that do not take answers."""

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _is_in_body = False
    _overhead = 0
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See :class:`asyncio.Protocol`."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        if self._head_timer is None and not self._is_in_body:
            self._expect_head()
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > HEAD_BYTES:
            self.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools; after the head come trailers, which say nothing here."""
        if not self._is_in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._is_in_body, self._overhead = True, 0
        extensions: dict[str, Any] = {}
        self.scope["extensions"] = extensions
        super().on_headers_complete()
        extensions[FILL] = partial(self._fill, self.cycle)
        if self.parser.should_upgrade():  # which is not done here, and the parser stops at it
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._is_in_body, self._overhead = False, 0
        super().on_message_complete()

    async def _fill(
        self, cycle: RequestResponseCycle, view: memoryview, patience: Patience
    ) -> bool:
        """Receive the rest of a request's body into memory, see :data:`FILL`."""
        early = len(cycle.body)
        view[:early] = cycle.body
        cycle.body = bytearray()
        cycle.message_event.clear()
        if early == len(view) or cycle.disconnected:
            return early == len(view)
        filling = Filling(self, view[early:])
        self._hand_over(filling)
        try:
            await filling.wait(patience)
            return filling.is_full
        finally:
            if not filling.is_full:
                self._hand_over(self)  # its parser takes all that follows for the same body

    def end_body(self) -> None:
        """Go on with what follows a body that did not go through the parser."""
        self.cycle.more_body = False
        self._is_in_body = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._hand_over(self)

    def _hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        """Let a protocol have what arrives from now on; a loop looks at that when it resumes."""
        if not self.transport.is_closing():
            self.flow.pause_reading()
            self.transport.set_protocol(protocol)
            self.flow.resume_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless that would go into the answer to another request."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle or not (self.cycle.response_started or self.pipeline):
            body = error_reply(MalformedBody(msg)).body
            head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"
            head += f"content-type: {JSON_TYPE}\r\ncontent-length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def pause_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        super().pause_writing()
        if self._write_timer is None:
            self._watch_writing()

    def resume_writing(self) -> None:
        """See :class:`asyncio.Protocol`."""
        self._unsent = 0
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close, also if the last answer was not taken: a transport waits for that for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _watch_writing(self) -> None:
        """Give the client up if it takes nothing of what is to be written."""
        left, before = self.transport.get_write_buffer_size(), self._unsent
        self._write_timer, self._unsent = None, left
        if left and left == before:
            self.transport.abort()
        elif left:
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self._watch_writing)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)
