"""Archives on Ray Serve, by a Serve config.

.. code-block:: yaml

    applications:
      - name: seg
        import_path: eisen_deploy.serving.ray:build
        args:
          archives: [/models/seg.mar]

:func:`build` is given :class:`Arguments`, whose fields are the keys of ``args``. Set
``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=eisen_deploy.serving.ray:middlewares`` on every node, so
that what Ray's proxies answer themselves is typed as well.
"""

from eisen_deploy.serving.engines.ray.arguments import ArchiveSource, Arguments, Autoscaling
from eisen_deploy.serving.engines.ray.build import build
from eisen_deploy.serving.engines.ray.proxy import middlewares
from eisen_deploy.serving.engines.served_archives import BadArchives

__all__ = ["ArchiveSource", "Arguments", "Autoscaling", "BadArchives", "build", "middlewares"]

for _public in (ArchiveSource, Arguments, Autoscaling):
    _public.__module__ = __name__
