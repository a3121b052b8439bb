"""A network and what calls it on parts of its input, as one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class WithInferer(torch.nn.Module):
    """A network that is called by an inferer, such as MONAI's ``SlidingWindowInferer``.

    Both are packed as one model::

        model = WithInferer(network, SlidingWindowInferer(roi_size=(96, 96, 96), overlap=0.5))

    :param network: takes what the inferer gives it.
    :param inferer: called as ``inferer(inputs, network)``.
    """

    # Pickles know it by its public name, which an archive's handler provides too.
    __module__ = "eisen_deploy.serving"

    def __init__(
        self, network: torch.nn.Module, inferer: Callable[[torch.Tensor, torch.nn.Module], Any]
    ) -> None:
        super().__init__()
        self.network = network
        self.inferer = inferer

    def forward(self, inputs: torch.Tensor) -> Any:
        """Return what the inferer makes of an input."""
        return self.inferer(inputs, self.network)
