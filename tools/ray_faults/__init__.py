"""A Ray cluster of three nodes on one machine, and what is done to it while requests go on.

::

    lab           namespaces of the kernel in which all of it runs, and which vanish with it
    node          one node: a namespace with an address of its own, and Ray in it
    cluster       a head and two workers; Serve's configuration and status
    asking        questions to ``control``, a process on the head that asks Ray
    archives      the models: each version answers otherwise
    waiting_model what they hold
    load          calls from several threads, each answer compared with its request
    scenarios/    what is shown
"""
