"""Archives on Ray Serve, by a Serve config::

    applications:
      - name: seg
        import_path: eisen_deploy.serving.ray:build
        args:
          archives: [/models/seg.mar]

:func:`build` is given :class:`Arguments`, whose fields are the keys of ``args``.
"""

from eisen_deploy.serving.engines.ray.arguments import Arguments, ArchiveSource, Autoscaling
from eisen_deploy.serving.engines.ray.build import build

__all__ = ["Arguments", "ArchiveSource", "Autoscaling", "build"]
