"""A network that fails, as its author did not expect."""

import torch


class Net(torch.nn.Module):
    def forward(self, image):
        channels = image.shape[1]
        if channels == 3:
            return image
        # Line 12 is the one that the page eisen-pack shows.
        raise ValueError(f"expected 3 channels, got {channels}")
