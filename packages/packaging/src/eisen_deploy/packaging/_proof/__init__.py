"""The proof that an archive needs nothing of the process, and of the machine, that packed it.

``samples`` runs a sample in this process and records request and reply; ``row_independence`` finds
out from ``alterations`` of it whether requests may share a forward pass. ``proving`` runs the
finished archive in a fresh interpreter: ``clean_process`` is the script that runs there,
``allowed_imports`` what it may see of this machine, ``exchange`` what they say to each other.
``clean_room`` starts and ends it. ``failure_causes`` explains why an archive failed, with what
``process_state`` finds here. ``local_model`` has an archive answer requests in such a process.
"""

from .proving import Proof, prove

__all__ = ["Proof", "prove"]
