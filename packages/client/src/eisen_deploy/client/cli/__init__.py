"""The command ``eisen-client``: ask a model from a terminal, with files in and out.

Each command is a module that has ``add_parser`` and ``run``. :mod:`.exit_statuses` has the exit
statuses, ``eisen_deploy.client.files`` reads and writes the files.
"""

from .command import main

__all__ = ["main"]
