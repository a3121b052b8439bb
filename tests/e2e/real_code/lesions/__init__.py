"""A project's own package, beside the script and not installed."""

from __future__ import annotations

from .model import LesionNet
from .transforms import Window

__all__ = ["LesionNet", "Window"]
