"""eisen-serve's uvicorn: worker processes on one port, each a session behind the application.

::

    engine        what eisen-serve asks of uvicorn
    supervision   starts the workers, waits until they answer, replaces those that end or hang
    work          what a worker is told
    worker        one process: the model on its main thread, uvicorn's event loop on another
    sharing       how the workers share the connections
    protocol      uvicorn's HTTP protocol, with bounds on what a client may send before its request
    filling       a large body on its way from the socket into its own memory
"""
