"""Verify the files of an archive before anything of them is imported or unpickled.

A server may unpack an archive once, and a worker that is started again loads what lies there then.
Whoever starts the server and has verified archives names their digests in the environment; then a
worker takes no other archive, however sound it is.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from .._shared.archive import unpacked_folder
from .._shared.archive.description import Description
from .._shared.errors import ContractError
from ..errors import NotVerified

#: The variable with the digests, separated by spaces; without it any sound archive is taken.
DIGESTS = "EISEN_SERVE_DIGESTS"


def verify(folder: Path, *, later: Collection[str] = ()) -> Description:
    """Check every file of an unpacked archive, and return what its ``eisen.json`` says.

    :param later: files whose content a later call will check, before they are read.
    :raises NotVerified: if a file is not the one that was packed, or the archive is another one
        than was verified when the server was started.
    """
    try:
        about = unpacked_folder.verify(folder, later=later)
    except ContractError as error:
        raise NotVerified(str(error)) from None
    expected = os.environ.get(DIGESTS)
    if expected is not None and about.digest not in expected.split():
        raise NotVerified(
            f"the unpacked archive has the digest {about.digest}, and is not one of those that "
            "were verified when the server was started"
        )
    return about
