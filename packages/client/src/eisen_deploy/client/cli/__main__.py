"""``python -m eisen_deploy.client.cli`` is ``eisen-client``."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
