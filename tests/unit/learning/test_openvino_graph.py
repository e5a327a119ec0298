"""What is said to OpenVINO in other operations gives the numbers of PyTorch, over whole volumes too."""

from __future__ import annotations

from copy import deepcopy
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from wardround.learning.runtime import check_input, compiled, converted

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
NEAR = 2e-5


def run(module: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What OpenVINO makes of it, and what is right: PyTorch in double precision."""
    with torch.inference_mode():
        return compiled(module, inputs, 1)[0](inputs), deepcopy(module).double()(inputs.double())


@pytest.mark.parametrize("shape", [(64, 64, 64), (17, 31, 29), (96, 40, 13)], ids=str)
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_a_volume_is_normalised_as_closely_as_pytorch_does(shape: tuple[int, ...], offset: float) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv3d(1, 4, 1), nn.InstanceNorm3d(4, affine=True)).eval()
    found, right = run(module, check_input((1, 1, *shape)) + offset)
    assert (found - right).abs().max() < NEAR * max(1.0, offset)


def test_slices_are_each_normalised_by_their_own() -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(2, 4, 1), nn.InstanceNorm2d(4)).eval()
    inputs = check_input((3, 2, 96, 80)) * torch.tensor([1.0, 5.0, 0.2])[:, None, None, None]
    found, right = run(module, inputs)
    assert (found - right).abs().max() < NEAR


@pytest.mark.parametrize("value", [0.0, 1e4])
def test_an_empty_volume_is_normalised_to_numbers(value: float) -> None:
    module = nn.Sequential(nn.Conv3d(1, 2, 1), nn.InstanceNorm3d(2)).eval()
    sample = check_input((1, 1, 32, 32, 32))
    with torch.inference_mode():
        assert torch.isfinite(compiled(module, sample, 1)[0](torch.full_like(sample, value))).all()


@pytest.mark.parametrize(
    "module",
    [
        nn.ConvTranspose3d(5, 2, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1, bias=False),
        nn.ConvTranspose3d(4, 2, 2, stride=2),
        nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1),
        nn.ConvTranspose2d(4, 2, 3, stride=(2, 1), padding=1, output_padding=(1, 0)),
        nn.ConvTranspose2d(4, 2, 3, stride=2, padding=2, output_padding=1, dilation=2),
        nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
    ],
    ids=lambda module: str(module).removeprefix("ConvTranspose"),
)
def test_a_transposed_convolution_makes_what_pytorch_makes(module: nn.ConvTranspose2d | nn.ConvTranspose3d) -> None:
    axes = 3 if isinstance(module, nn.ConvTranspose3d) else 2
    found, right = run(module.eval(), check_input((1, module.in_channels, *(6, 9, 5)[:axes])))
    assert found.shape == right.shape and (found - right).abs().max() < NEAR


def test_only_those_with_few_channels_are_made_of_phases() -> None:
    def operations(channels: int) -> set[str]:
        module = nn.ConvTranspose3d(3, channels, 3, stride=2, padding=1, output_padding=1).eval()
        return {node.get_type_name() for node in converted(module, check_input((1, 3, 4, 4, 4))).get_ordered_ops()}

    assert "DepthToSpace" in operations(8) and "ConvolutionBackpropData" not in operations(8)
    assert "DepthToSpace" not in operations(9) and "ConvolutionBackpropData" in operations(9)


class Joined(nn.Module):
    """A skip connection: one tensor beside what was made of it."""

    def __init__(self, once_more: bool) -> None:
        super().__init__()
        self.down, self.up, self.once_more = nn.Conv3d(2, 3, 3, padding=1), nn.Conv3d(5, 4, 3, padding=1), once_more

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([inputs, self.down(inputs)], dim=1)
        made = self.up(joined)
        return made + joined[:, :4] if self.once_more else made


@pytest.mark.parametrize("once_more", [False, True])
def test_what_only_a_convolution_wants_joined_isnt_joined(once_more: bool) -> None:
    module, inputs = Joined(once_more).eval(), check_input((1, 2, 8, 8, 6))
    found, right = run(module, inputs)
    assert (found - right).abs().max() < NEAR
    operations = {
        node.get_type_name() for node in converted(module, inputs).get_ordered_ops() if node.get_output_size()
    }
    assert ("Concat" in operations) is once_more
