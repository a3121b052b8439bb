"""What packing reports besides errors: one line each, to the logger of this distribution.

Python shows the lines on the standard error where nobody has set logging up.
"""

from __future__ import annotations

import logging

LOGGER = "eisen_deploy.packaging"

_log = logging.getLogger(LOGGER)


def remark(text: str) -> None:
    """Report what users should know of the archive that they pack."""
    _log.warning("%s", text)
