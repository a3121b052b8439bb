"""Archives on Ray Serve: the application of :mod:`..asgi` in each replica, on any number of nodes.

::

    arguments   what a configuration of Ray Serve says, as pydantic checks it
    fetching    the archive on this node, from a path or an address, by its digest
    build       arguments -> the deployments of one archive, or of several behind a router
    replica     one replica: an archive behind the application, in an actor of Ray
    router      several archives behind one address: a request goes to its model's replicas
"""
