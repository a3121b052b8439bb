"""``python -m eisen_deploy.packaging.cli`` is ``eisen-pack``."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
