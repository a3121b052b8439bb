"""What is logged, and what is kept from being logged.

The logger ``eisen_deploy.client`` logs each attempt at DEBUG: the endpoint, the id of the
request, names, shapes and sizes of the inputs, status, time. Nothing is logged above DEBUG: what
goes wrong is raised.
"""

from __future__ import annotations

import logging

from ._http.exchange import running_exchange

log = logging.getLogger("eisen_deploy.client")

#: Those that log the URL with its query, raw headers, or exceptions that hold either.
_LOGGERS = ("connection", "connectionpool", "poolmanager", "response", "util.retry")


def keep_urllib3_quiet() -> None:
    """Drop what urllib3 logs on a thread that runs a request of this client, and nothing else."""
    for name in _LOGGERS:
        logging.getLogger(f"urllib3.{name}").addFilter(_is_not_ours)


def _is_not_ours(_: logging.LogRecord) -> bool:
    return running_exchange() is None
