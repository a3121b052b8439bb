"""One archive on any ASGI server, such as uvicorn, Hypercorn, or gunicorn with uvicorn's workers.

.. code-block:: console

   $ EISEN_ARCHIVE=seg.mar uvicorn --factory eisen_deploy.serving.asgi:make_application

Nothing here supervises the process: if the model hangs, the process ends with status 4, and whoever
started it has to start it again. ``eisen-serve run --engine uvicorn`` does so, on Linux.

==========================  ====================================================================
variable                    meaning
==========================  ====================================================================
``EISEN_ARCHIVE``           path of the archive; needed
``EISEN_MAX_BODY``          the largest request and the largest reply: bytes, or such as 512MiB
``EISEN_ALL_BODIES``        the same of all requests under way together
``EISEN_RESPONSE_TIMEOUT``  seconds for an answer, if the archive does not say it
``EISEN_QUEUE``             requests that may wait for the model
``EISEN_TOKEN_FILE``        a file with the token that clients have to send
``EISEN_GPU``               number of the GPU to run on; without it the model runs on the CPU
``EISEN_WORKERS``           processes that share the machine's cores
==========================  ====================================================================
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from eisen_deploy.serving.engines.asgi.application import Application
from eisen_deploy.serving.engines.asgi.serving import serve_archive
from eisen_deploy.serving.engines.asgi.settings import MAX_BODY, Settings, read_variable
from eisen_deploy.serving.engines.model_thread import start
from eisen_deploy.serving.engines.served_archives import verify
from eisen_deploy.serving.engines.sizes import parse_size
from eisen_deploy.serving.runtime._shared.archive import zips
from eisen_deploy.serving.runtime.archive.verification import DIGESTS

__all__ = ["make_application"]

T = TypeVar("T")
_PREFIX = "EISEN_"
_SETTINGS: Mapping[str, Callable[[str], object]] = {
    "max_body": parse_size,
    "all_bodies": parse_size,
    "response_timeout": float,
    "queue": int,
    "token_file": Path,
}


def make_application() -> Application:
    """Verify the archive, load its model, predict its sample, and return the application.

    An archive's code stays imported: a process can do this once.

    :raises ValueError: if a variable is missing, or no number or size.
    :raises BadArchives: if the archive is not what was packed; ``LoadFailed`` if it does not load.
    """
    path = _read("archive", Path)
    if path is None:
        raise ValueError("EISEN_ARCHIVE: set it to the path of an archive (MAR)")
    given = {name: _read(name, parse) for name, parse in _SETTINGS.items()}
    settings = Settings(
        max_body_setting=MAX_BODY,
        **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
    )
    # Removed at the end, as far as the system lets go of what is imported from there.
    folder = tempfile.TemporaryDirectory(prefix="eisen-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    [archive] = verify([path], Path(folder.name, "copy"))
    assert archive.copy is not None  # noqa: S101 - asked for
    unpacked = Path(folder.name, "unpacked")
    unpacked.mkdir()
    zips.unpack(archive.copy, unpacked)
    os.environ[DIGESTS] = archive.digest
    gpu, workers = _read("gpu", int), _read("workers", int)
    served = start(
        lambda: serve_archive(unpacked, settings, gpu_id=gpu, workers=workers, on_main_thread=False)
    )
    return served.application


def _read(name: str, parse: Callable[[str], T]) -> T | None:
    return read_variable(_PREFIX + name.upper(), parse)
