"""The layers of the click network. Needs torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from wardround.learning.interactive.canvas import CHANNELS, FOLD

WIDTHS = (16, 32, 48, 64)
DROPOUT = 0.1
_FLAT, _SOLID = (1, 3, 3), (3, 3, 3)
_SELDOM = -3.0
"""The logit that it begins with everywhere: little of an image is what is outlined."""


class UNet(nn.Module):
    """A U-Net of four levels (Çiçek et al., 2016), which looks across slices where its planes are coarse (Isensee et
    al., nnU-Net, Nature Methods 2021): (1, `CHANNELS`, Z, Y, X) to the logits (1, 1, Z, 2 Y, 2 X)."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three, four = WIDTHS
        self.first = _block(CHANNELS, one, _FLAT, _FLAT)
        self.second = _block(one, two, _FLAT, _SOLID)
        self.third = _block(two, three, _SOLID, _SOLID)
        self.fourth = _block(three, four, _SOLID, _SOLID)
        self.dropout = nn.Dropout3d(DROPOUT)
        self.join_third = _block(four + three, three, _FLAT, _SOLID)
        self.join_second = _block(three + two, two, _FLAT, _SOLID)
        self.join_first = _block(two + one, one, _FLAT, _FLAT)
        self.leave = nn.Conv3d(one, FOLD**2, 1)
        assert self.leave.bias is not None  # noqa: S101 - it has one by default
        nn.init.constant_(self.leave.bias, _SELDOM)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        first = self.first(inputs)
        second = self.second(functional.max_pool3d(first, (1, 2, 2), ceil_mode=True))
        third = self.third(functional.max_pool3d(second, 2, ceil_mode=True))
        fourth = self.dropout(self.fourth(functional.max_pool3d(third, 2, ceil_mode=True)))
        third = self.dropout(self.join_third(torch.cat([_to(fourth, third), third], 1)))
        second = self.join_second(torch.cat([_to(third, second), second], 1))
        first = self.join_first(torch.cat([_to(second, first), first], 1))
        found: torch.Tensor = self.leave(first)
        _, _, z, y, x = found.shape
        parts = found.reshape(FOLD, FOLD, z, y, x).permute(2, 3, 0, 4, 1)
        return parts.reshape(1, 1, z, y * FOLD, x * FOLD)


def unet(seed: int) -> UNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet()


def _block(inputs: int, outputs: int, *kernels: tuple[int, int, int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for kernel in kernels:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        layers += [nn.Conv3d(inputs, outputs, kernel, padding=padding), nn.GroupNorm(4, outputs), nn.LeakyReLU(0.1)]
        inputs = outputs
    return nn.Sequential(*layers)


def _to(inputs: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = functional.interpolate(inputs, like.shape[2:], mode="trilinear", align_corners=False)
    return found
