"""Archives on Ray Serve: ``import_path: eisen_deploy.serving.ray:build``."""

from .engines.ray.arguments import ArchiveArguments, Arguments
from .engines.ray.build import build

__all__ = ["ArchiveArguments", "Arguments", "build"]
