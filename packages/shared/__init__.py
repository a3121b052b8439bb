"""What the three distributions must agree on: the metadata schema, the wire protocol, the archive.

This folder is one source, linked into each distribution as its private package ``_shared``.
It needs the standard library and numpy, imports only relatively, and runs on Python 3.9.

* :mod:`.model` - what a model declares: the metadata, its fields, serving options
* :mod:`.wire` - request and reply bodies of the Open Inference Protocol, and what one may cost
* :mod:`.archive` - the archive as a file: zip, names, ``eisen.json``, the one reader
* :mod:`.command` - what the command line programs do alike
* :mod:`.errors` - what can be wrong with a body, a batch or an archive
* :mod:`.printable` - text from elsewhere, made safe for a terminal or a log
"""

from __future__ import annotations

from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    """Import the protocol at first use, since this package alone must not need numpy."""
    if name != "protocol":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .wire import protocol  # noqa: PLC0415

    return protocol
