"""The authorities that the operating system trusts, read by the library truststore."""

from __future__ import annotations

import importlib
import ssl

#: What ``verify=`` takes for them.
SYSTEM = "system"


def require_library() -> None:
    """Import the library, which is an extra.

    :raises ValueError: if it is not installed; the message says how to install it.
    """
    try:
        importlib.import_module("truststore")
    except ImportError as error:
        raise ValueError(
            "the library truststore, for Python 3.10 and later, is needed to trust what the "
            'operating system trusts: pip install "eisen-deploy-client[truststore]"'
        ) from error


def make_context() -> ssl.SSLContext:
    """Return a context that trusts them; it is changed while it connects: one for each socket."""
    import truststore  # noqa: PLC0415 - an extra

    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return context
