"""A bundle of MONAI's zoo is trained further here as data alone; what can't be had as data is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.learning.zoo import INFERENCE, NETWORK, TRANSFORMS, write_zoo_bundle

from wardround.learning.adoption import adopt, examined
from wardround.learning.arrays import digest
from wardround.learning.bundle import BundleRefused, bundle_digest, read_bundle
from wardround.learning.kinds import learner_of
from wardround.learning.metrics import over
from wardround.learning.volume import VolumePreparation


def test_every_part_is_told_of_and_nothing_is_run(tmp_path: Path) -> None:
    found = examined(write_zoo_bundle(tmp_path / "spleen_ct_segmentation"))
    assert not found.refused
    assert found.name == "spleen-ct-segmentation"
    used = {part.name for part in found.parts if part.verdict == "used"}
    assert {"network_def", "preprocessing.Orientationd", "preprocessing.Spacingd", "inferer.roi_size"} <= used
    left = {part.name for part in found.parts if part.verdict == "not needed"}
    assert {"inference.evaluator", "inference.imports", "scripts/__init__.py"} <= left


def test_its_network_weights_and_learning_rate_are_what_training_begins_with(tmp_path: Path, ball_head: Any) -> None:
    from monai.networks.nets.unet import UNet

    source = write_zoo_bundle(tmp_path / "spleen_ct_segmentation")
    adopt(source, tmp_path / "ours")
    bundle = read_bundle(tmp_path / "ours")
    assert bundle.setting().learning_rate == 0.0002
    teacher = learner_of(bundle)
    begun = teacher.initial(1)
    assert digest(begun) == digest(teacher.initial(2)), "the weights are the bundle's, whatever the seed"
    torch.manual_seed(4)
    theirs = UNet(**NETWORK)
    for name, tensor in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(begun[name], tensor.numpy())
    cases = [ball_head(number, shape=(8, 32, 28), spacing=(6.0, 8.0, 8.0)) for number in range(3)]
    trained = teacher.train(begun, cases[:2], steps=2, round_number=1, total_rounds=1, seed=1)
    assert digest(trained.arrays) != digest(begun)
    assert 0 <= (over("dice", teacher.evaluate(trained.arrays, cases[2:])) or 0) <= 1


def test_the_same_bundle_comes_to_the_same_digest_anywhere(tmp_path: Path) -> None:
    source = write_zoo_bundle(tmp_path / "spleen_ct_segmentation")
    adopt(source, tmp_path / "here")
    adopt(source, tmp_path / "there")
    assert bundle_digest(tmp_path / "here") == bundle_digest(tmp_path / "there")


def test_an_image_enters_as_monai_would_have_it(tmp_path: Path) -> None:
    """Ours are slices to the head, rows to the back, columns to the left, which is LPS once turned to (x, y, z)."""
    from monai.data.meta_tensor import MetaTensor
    from monai.transforms.intensity.array import ScaleIntensityRange
    from monai.transforms.spatial.array import Orientation

    adopt(write_zoo_bundle(tmp_path / "zoo"), tmp_path / "ours")
    preparation = read_bundle(tmp_path / "ours").preparation
    assert isinstance(preparation, VolumePreparation)
    volume = np.random.default_rng(1).normal(50, 80, (4, 5, 6)).astype(np.float32)
    affine = torch.diag(torch.tensor([-4.0, -4.0, 6.0, 1.0]))  # columns to the left, rows to the back, in RAS
    theirs = Orientation("RAS")(MetaTensor(volume.transpose(2, 1, 0)[None].copy(), affine=affine))
    theirs = ScaleIntensityRange(-57, 164, 0, 1, clip=True)(theirs)
    np.testing.assert_allclose(preparation.image(volume, (6.0, 4.0, 4.0)), np.asarray(theirs)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"network_def": "$monai.networks.nets.UNet()"}, "network_def"),
        ({"network_def": {"_target_": "scripts.net.Net"}}, "network_def"),
        ({"network_def": {**INFERENCE["network_def"], "norm": "$str(1)"}}, "network_def.norm"),
        ({"preprocessing": "$make()"}, "preprocessing"),
        ({"preprocessing": {"transforms": [*TRANSFORMS, {"_target_": "Lambdad"}]}}, "preprocessing.Lambdad"),
        ({"preprocessing_transforms": [*TRANSFORMS, {"_target_": "Resized"}]}, "preprocessing.Resized"),
        ({"preprocessing": {"transforms": TRANSFORMS[3:]}}, "preprocessing.Orientationd"),
        ({"inferer": {"roi_size": [16, 16]}}, "inferer.roi_size"),
    ],
)  # fmt: skip
def test_what_cant_be_had_as_data_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], part: str) -> None:
    source = write_zoo_bundle(tmp_path / "zoo", **changes)
    assert part in {refused.name for refused in examined(source).refused}
    with pytest.raises(BundleRefused) as refusal:
        adopt(source, tmp_path / "ours")
    assert refusal.value.reason == "not-adoptable"
    assert not (tmp_path / "ours").exists()


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this was run",))


@pytest.mark.parametrize("weights", [{"a": Payload()}, {"other": torch.zeros(2)}, [1, 2]])
def test_weights_that_would_run_something_or_are_another_networks_are_refused(
    tmp_path: Path, weights: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_zoo_bundle(tmp_path / "zoo", weights=weights)
    with pytest.raises(BundleRefused) as refusal:
        adopt(source, tmp_path / "ours")
    assert refusal.value.reason == "wrong-weights"
    assert "this was run" not in capsys.readouterr().out


def test_some_arrays_may_begin_fresh(tmp_path: Path) -> None:
    adopt(write_zoo_bundle(tmp_path / "zoo"), tmp_path / "ours")
    path = tmp_path / "ours/configs/train.json"
    before = learner_of(tmp_path / "ours").initial(1)
    path.write_text(json.dumps({**json.loads(path.read_text()), "fresh": ["model.2.*"]}))
    after = learner_of(tmp_path / "ours").initial(1)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("model.2.") for name in moved)
