"""A project that is developed while it is used: ``pip install --editable``."""

from __future__ import annotations

from vesselness.filters import SecondDerivative
from vesselness.intensity import rescale

__all__ = ["SecondDerivative", "rescale"]
