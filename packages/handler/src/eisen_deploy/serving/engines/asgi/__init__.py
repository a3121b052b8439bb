"""A session behind one ASGI application, which uvicorn runs, and so does any ASGI server.

The way of a request, one module a step::

    application   method and path -> what is asked for
    addresses     path -> model, version and which of its addresses
    bodies        ASGI messages -> Request, in one buffer of the announced size
    batcher       Requests -> batches, answered on the thread that runs the model
    lending       Reply -> pieces that the model cannot change any more
    replies       pieces -> ASGI messages
"""
