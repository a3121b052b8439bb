from __future__ import annotations

from .convolution import ConvBlock

__all__ = ["ConvBlock"]
