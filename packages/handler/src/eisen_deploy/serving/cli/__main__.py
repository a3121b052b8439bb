"""``python -m eisen_deploy.serving.cli`` is ``eisen-serve``."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
