"""The command ``eisen-pack``: build archives, look into them, verify, try and compare them.

Each command is a module that has ``add_parser`` and ``run``. What takes long to import, torch most
of all, is imported where it is needed: ``inspect`` and ``diff`` do without.

======  ==========================================================================================
status  meaning
======  ==========================================================================================
0       done; ``verify``: the archive is sound; ``diff``: there is no difference
1       ``verify``, ``predict``: it is not; ``diff``: there are differences
2       it could not be done, and the standard error says why; wrong arguments as well
3-20    ``predict``: as of ``eisen-client predict``
130     interrupted (SIGINT); 143: ended (SIGTERM); 141: nobody reads the output any more
======  ==========================================================================================
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
