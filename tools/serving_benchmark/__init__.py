"""The user's task, numpy array to numpy array, through each serving system's own natural client.

``nox -s bench``, or ``python -m serving_benchmark`` with ``tools`` in ``PYTHONPATH``. Linux only.
In the order in which they come to work:

* ``environments``: each system's own virtual environment, with pinned requirements;
* ``models``: the models, the same for all, and the arrays that they are given;
* ``systems``: how each system is started, and its client; ``servers``: what its user writes;
* ``archives``: the models as archives for TorchServe;
* ``before``: another revision of Eisen-Deploy, to be held against this one;
* ``processes``: starts servers, halts those that are not asked, and ends them;
* ``contestants``: a server and its client together;
* ``client``: a process in the system's environment that calls and takes the time;
* ``measure`` and ``memory``: the rounds;
* ``numbers`` and ``claims``: medians, ratios, and what is to be shown;
* ``report`` and ``plot``: the page, the JSON and the picture.
"""
