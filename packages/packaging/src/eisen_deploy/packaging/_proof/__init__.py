"""The proof that an archive needs nothing of the process, and of the machine, that packed it.

``proving`` runs the finished archive in a fresh interpreter: ``clean_process`` is the script that
runs there, ``visible`` what it may see of this machine. ``causes`` says why an archive failed, with
what ``left_behind`` finds in this process.
"""

from .proving import Proof, prove

__all__ = ["Proof", "prove"]
