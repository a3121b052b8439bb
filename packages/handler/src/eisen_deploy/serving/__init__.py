"""Serve an archive that ``eisen_deploy.packaging`` made.

The handler travels inside every archive, so a server needs nothing of this distribution. It is
here to be subclassed::

    from eisen_deploy.serving import EisenServingHandler

    class MyHandler(EisenServingHandler):
        def post_process(self, output_dict):
            ...

and passed to ``EisenServingMAR(..., handler="my_handler.py")``.
"""

from .baked.errors import InvalidInput, ServingError
from .baked.service import EisenServingHandler

__all__ = ["EisenServingHandler", "InvalidInput", "ServingError"]
