"""``python -m eisen_deploy.client.cli`` is ``eisen-client``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
