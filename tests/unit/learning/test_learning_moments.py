"""Statistics of normalisation layers are those of all that entered them; taking them trains nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wardround.learning.arrays import ArraysRefused
from wardround.learning.moments import Moments


def small_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()).eval()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 2**16))
def test_batches_of_any_size_count_by_their_size(sizes: list[int], seed: int) -> None:
    module = small_network()
    draws = torch.Generator().manual_seed(seed)
    batches = [torch.randn((size, 2, 6, 6), generator=draws) * 3 + 5 for size in sizes]
    moments = Moments(module)
    with moments.counting(), torch.no_grad():
        for batch in batches:
            module(batch)
    found = moments.told()
    with torch.no_grad():
        entered = module[0](torch.cat(batches)).double().transpose(0, 1).flatten(1)  # type: ignore[index]
    np.testing.assert_allclose(found["1.running_mean"], entered.mean(1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["1.running_var"], entered.var(1, unbiased=False), rtol=1e-3, atol=1e-3)


def test_the_network_is_as_it_was() -> None:
    module = small_network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items() if "tracked" not in name}
    with Moments(module).counting(), torch.no_grad():
        module(torch.randn(4, 2, 6, 6))
        assert module[1].training and not module[3].training, "dropout drops nothing"  # type: ignore[index]
    assert not module[1].training and module[1].momentum == 0.1  # type: ignore[index]
    assert not module[1]._forward_pre_hooks  # type: ignore[index]
    for name, tensor in before.items():
        assert torch.equal(module.state_dict()[name], tensor)


def test_a_network_without_such_layers_has_none() -> None:
    moments = Moments(nn.Sequential(nn.Linear(2, 2), nn.GroupNorm(1, 2)))
    with pytest.raises(ArraysRefused) as refused:
        moments.told()
    assert refused.value.reason == "empty"
