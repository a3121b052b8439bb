"""What the three distributions must agree on: the metadata schema, the wire protocol, the archive.

This folder is one source, linked into each distribution as its private package ``_shared``.
It needs the standard library and numpy, imports only relatively, and runs on Python 3.9.

* :mod:`.metadata` - the metadata dict as value objects, and a batch checked against it
* :mod:`.fields`, :mod:`.plain` - one declared input, and a value held against it
* :mod:`.protocol` - request and reply bodies of the Open Inference Protocol
* :mod:`.messages`, :mod:`.encoding`, :mod:`.decoding` - what that consists of
* :mod:`.values` - one Python value, to and from a tensor
* :mod:`.tensors` - one tensor, to and from its bytes or its JSON
* :mod:`.datatypes` - the closed tables of element types
* :mod:`.strictjson` - JSON from strangers
* :mod:`.serving_options` - what a model asks of its server, as ``model-config.yaml``
* :mod:`.eisenjson` - ``eisen.json``: what an archive says of itself
* :mod:`.batches` - whether requests may share a forward pass
* :mod:`.contents` - the files of an archive, held against that
* :mod:`.zips`, :mod:`.zipheaders` - an archive as a zip file, in the one form there is
* :mod:`.names` - which names the files of an archive may have
* :mod:`.program`, :mod:`.terminal` - what the command line programs do alike
* :mod:`.errors` - what can be wrong with a body or a batch
"""
