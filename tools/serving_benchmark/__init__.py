"""Measure a prediction, numpy array to numpy array, through each serving system's usual client.

``nox -s bench``, or ``python -m serving_benchmark`` with ``tools`` in ``PYTHONPATH``. Linux only.

The modules, in the order in which they are used:

* ``environments``: each system's own virtual environment, with pinned requirements;
* ``models``: the models, which are the same for all systems, and their input arrays;
* ``systems``: how each system is started, and its client; ``servers``: what its user writes;
* ``archives``: the models as archives for TorchServe;
* ``before``: another revision of Eisen-Deploy, for comparison with this one;
* ``processes``: starts servers, halts those that are not being measured, and ends them;
* ``contestants``: a server and its client together;
* ``client``: a process in the system's environment that makes the calls and measures the time;
* ``measure`` and ``memory``: the rounds;
* ``numbers`` and ``claims``: medians, ratios, and the claims that they should confirm;
* ``report`` and ``plot``: the page, the JSON and the picture.
"""
