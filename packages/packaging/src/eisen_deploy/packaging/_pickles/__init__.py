"""Pickles of model and transforms that load on a server without the user's code.

``pickle_files`` writes the files, ``pickler`` decides how each object in them is written:

* ``definitions``: functions, classes and cells of the script, with their ``script_globals``;
* ``instances``: what these make, and enumerations, exceptions and type variables;
* ``live_objects``: locks come back free, and what lives in one process only is refused;
* ``torch_objects``: tensors (``memory``: only the elements that are used), ``torchscript``, and
  modules that training wraps around a model.

The files of one archive share their ``object_graph``; ``object_paths`` names an object in errors.
"""

from __future__ import annotations

from typing import Any

#: What ``__reduce__`` returns: what makes an object anew, its arguments, and its state.
Reduced = tuple[Any, ...]
