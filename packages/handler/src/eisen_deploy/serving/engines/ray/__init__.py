"""Archives on Ray Serve: any number of replicas, on any number of machines.

The way of a deployment, one module a step::

    arguments     the YAML's ``args`` -> Arguments
    build         Arguments -> an application of Ray Serve: who answers, and with which resources
    fetching      an archive's address -> a verified file on this node
    replica       a verified file -> the application of ``engines.asgi``, in a process of its own

With several archives, ``router`` takes the requests and hands each to its model's replicas.
``proxy`` runs in the processes of Ray that listen for HTTP.
"""
