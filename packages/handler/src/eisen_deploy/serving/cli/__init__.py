"""The command ``eisen-serve``: serve archives with TorchServe, and look at how one is configured.

Each command is a module that has ``add_parser`` and ``run``.

======  ==========================================================================================
status  meaning
======  ==========================================================================================
0       done; ``doctor``: nothing was found
1       ``run``: a model did not load, or TorchServe could not be kept running; ``doctor``: findings
2       nothing was started, and the standard error says why; wrong arguments as well
130     interrupted (SIGINT); 143: ended (SIGTERM); 129: the terminal is gone (SIGHUP); 141: nobody
        reads the output any more
======  ==========================================================================================
"""

from __future__ import annotations

from .command import main

__all__ = ["main"]
