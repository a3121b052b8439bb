"""Where a failure of the libraries below began, and how messages describe it."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: How ``http.client`` says that a proxy does not lead to a server.
_REFUSED_TUNNEL = re.compile("Tunnel connection failed: ([0-9]{3})")
#: Exceptions that say nothing but their names.
_DESCRIPTIONS = {
    "RemoteDisconnected": "closed without an answer",
    "IncompleteRead": "closed in the middle of the answer",
    "TimeoutError": "timed out",
    "timeout": "timed out",  # Python 3.9
    "SSLEOFError": "closed in the middle of TLS",
    "SSLZeroReturnError": "closed in the middle of TLS",
}


def find_root_cause(error: BaseException) -> BaseException:
    """Return the exception that came first, however deeply others wrap it."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        error = next(_inside(error), error)
    return error


def forget_frames(error: BaseException) -> None:
    """Let go of the frames of an error: urllib3's hold the error in turn, and the batch."""
    seen: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if id(error) not in seen:
            seen[id(error)] = error.with_traceback(None)
            waiting += _inside(error)
            waiting += [error.__context__] if error.__context__ is not None else []


def _inside(error: BaseException) -> Iterator[BaseException]:
    wrapped = (getattr(error, "reason", None), *reversed(error.args), error.__cause__)
    return (inner for inner in wrapped if isinstance(inner, BaseException))


def describe_cause(error: BaseException) -> str:
    """Return a system error's own text; for others our description, or their name."""
    text = error.args[0] if error.args else None
    if isinstance(text, str) and (refused := _REFUSED_TUNNEL.match(text)):
        return f"it answered {refused[1]}"
    own = getattr(error, "strerror", None) or getattr(error, "reason", None)
    name = type(error).__name__
    return own or _DESCRIPTIONS.get(name, name)
