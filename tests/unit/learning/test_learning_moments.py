"""Statistics of normalisation layers are those of all that entered them; taking them trains nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.learning.conftest import ball_head
from torch import nn

from wardround.learning.arrays import ArraysRefused
from wardround.learning.bundle import packaged
from wardround.learning.kinds import learner_of
from wardround.learning.merging import mean_of, statistics
from wardround.learning.moments import Moments
from wardround.learning.network import weights


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


def test_a_package_with_batch_normalisation_tells_its_own_arrays(tmp_path: Path) -> None:
    copied = tmp_path / "package"
    shutil.copytree(packaged(), copied)
    inference = copied / "configs" / "inference.json"
    document = json.loads(inference.read_text())
    document["network_def"]["norm"] = "BATCH"
    inference.write_text(json.dumps(document))
    learner = learner_of(copied)
    arrays = learner.initial(1)
    cases = [ball_head(1), ball_head(2)]
    told = learner.statistics(arrays, cases, batches=2, seed=3)
    variances = statistics(arrays)
    assert variances and told.keys() == {name for one in variances for name in (one, mean_of(one))}
    assert all(told[name].shape == arrays[name].shape for name in told)
    again = learner.statistics(arrays, cases, batches=2, seed=3)
    assert all(np.array_equal(told[name], again[name]) for name in told), "the same seed, the same answer"
    assert all(np.array_equal(arrays[name], one) for name, one in weights(learner._module).items()), (
        "nothing is trained"
    )
