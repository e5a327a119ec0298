"""Random changes to slices in training, standing in for the scanners and heads that a hospital doesn't have."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from wardround.learning.settings import Augmentation


def augment(
    images: torch.Tensor, labels: torch.Tensor, amounts: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """images (N, C, Y, X) as `Preparation.image` gives them, labels (N, 1, Y, X) from 0 to 1; new tensors."""
    count, channels, height, width = images.shape

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    angle = math.radians(amounts.rotation) * draw(count)
    factor = torch.exp(amounts.scale * draw(count))
    mirror = torch.sign(draw(count))
    upside = torch.where(torch.rand(count, generator=generator) < amounts.upside_down, -1.0, 1.0)
    cos, sin = torch.cos(angle) * factor, torch.sin(angle) * factor
    affine = torch.zeros(count, 2, 3)
    # affine_grid works in units of half an image, so a rotation of a grid that isn't square needs its aspect.
    affine[:, 0, 0], affine[:, 0, 1] = cos * mirror, -sin * (height / width) * mirror
    affine[:, 1, 0], affine[:, 1, 1] = sin * (width / height) * upside, cos * upside
    affine[:, 0, 2], affine[:, 1, 2] = (
        amounts.shift * 2 / width * draw(count),
        amounts.shift * 2 / height * draw(count),
    )
    grid = functional.affine_grid(affine, [count, 1, height, width], align_corners=False)
    moved = functional.grid_sample(torch.cat([images + 1, labels], 1), grid, align_corners=False)
    light, labels = moved[:, :channels], moved[:, channels:]

    gamma = torch.exp(amounts.gamma * draw(count, 1, 1, 1))
    light = light.clamp_min(1e-4).pow(gamma)
    field = functional.interpolate(draw(count, 1, 3, 3), (height, width), mode="bicubic", align_corners=True)
    light = light * torch.exp(amounts.bias * field + amounts.gain * draw(count, 1, 1, 1))
    spread = amounts.noise * torch.rand(count, 1, 1, 1, generator=generator)
    light = light + spread * torch.randn(light.shape, generator=generator)
    return light - 1, labels
