"""The models in plain PyTorch."""

from __future__ import annotations

from torch import Tensor, cat, nn


class UNet3d(nn.Module):
    """A small 3-D U-Net for three classes.

    :param channels: of each level, from the outermost.
    """

    def __init__(self, channels: tuple[int, ...] = (8, 16, 32), inputs: int = 1) -> None:
        super().__init__()
        here, *below = channels
        self.down = _convolutions(inputs, here)
        self.deeper = UNet3d(tuple(below), here) if below else None
        self.pool = nn.MaxPool3d(2)
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.up = _convolutions(here + 3, here) if below else nn.Identity()
        self.head = nn.Conv3d(here, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the classes' scores, ``[n, 3, depth, height, width]``."""
        found = self.down(x)
        if self.deeper is not None:
            found = self.up(cat([found, self.grow(self.deeper(self.pool(found)))], dim=1))
        return self.head(found)


def _convolutions(inputs: int, outputs: int) -> nn.Module:
    first = nn.Conv3d(inputs, outputs, 3, padding=1)
    second = nn.Conv3d(outputs, outputs, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        normed = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.change = nn.Sequential(first, normed[0], nn.ReLU(), second, normed[1])
        self.keep: nn.Module = nn.Identity()
        if stride > 1:
            skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.keep = nn.Sequential(skip, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return an image of ``outputs`` channels, smaller by ``stride``."""
        return (self.change(x) + self.keep(x)).relu()


def classifier() -> nn.Module:
    """Return a small classifier of patches: a ResNet-18 with a quarter of its channels."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU()]
    inputs = 16
    for outputs in (16, 32, 64, 128):
        layers += [_Residual(inputs, outputs, outputs // inputs), _Residual(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


MODELS = {"echo": nn.Identity, "unet": UNet3d, "cnn": classifier, "cnn-batched": classifier}
