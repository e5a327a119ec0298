"""A model with layers of each hospital's own is used with this hospital's, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.errors import NotAllowed
from wardround.learning.arrays import Arrays, ArraysRefused, to_bytes
from wardround.learning.bundle import BundleRefused, export_bundle, load_bundle
from wardround.learning.lineage import KEY, Lineage, lineage_of
from wardround.node.clinic.own_layers import check_own_layers, own_layers, with_own
from wardround.node.training.own import OwnArrays

WEIGHTS: Arrays = {"w": np.ones(3, np.float32), "norm": np.zeros(2, np.float32)}
KEYS = PseudonymKeys(bytes(32))
MINE = {"norm": np.full(2, 7, np.float32)}


def package(folder: Path, at_home: tuple[str, ...]) -> Path:
    told = Lineage(run="glioma-1", project="glioma", weights_sha256="d" * 64, at_home=at_home)
    export_bundle(WEIGHTS, folder / "model", {KEY: told.model_dump(mode="json", exclude_defaults=True)})
    return folder / "model"


def test_a_model_is_read_with_the_layers_that_its_own_round_left_here(tmp_path: Path) -> None:
    made, own = package(tmp_path, ("norm",)), OwnArrays(tmp_path / "runs", KEYS)
    own.settle("glioma-1", "d" * 64, to_bytes(MINE | {"control:w": WEIGHTS["w"]}))
    check_own_layers(made, own)
    used = with_own(made, load_bundle(made)[1], own_layers(made, own))
    assert used.keys() == WEIGHTS.keys() and used["norm"][0] == 7 and used["w"][0] == 1


def test_they_lie_sealed_and_nowhere_else(tmp_path: Path) -> None:
    made, own = package(tmp_path, ("norm",)), OwnArrays(tmp_path / "runs", KEYS)
    own.settle("glioma-1", "d" * 64, to_bytes(MINE))
    before = sorted(tmp_path.rglob("*"))
    check_own_layers(made, own)
    layers = own_layers(made, own)
    assert layers is not None and str(KEYS.key("own arrays glioma-1")) not in repr(layers)
    assert sorted(tmp_path.rglob("*")) == before
    assert MINE["norm"].tobytes() not in layers.file.read_bytes()


def test_once_they_are_removed_who_knew_where_they_lay_has_none(tmp_path: Path) -> None:
    made, own = package(tmp_path, ("norm",)), OwnArrays(tmp_path / "runs", KEYS)
    own.settle("glioma-1", "d" * 64, to_bytes(MINE))
    known = own_layers(made, own)
    assert known is not None and known.there
    own.forget("glioma-1")
    for look in (lambda: own_layers(made, own), lambda: with_own(made, WEIGHTS, known)):
        with pytest.raises(NotAllowed) as refused:
            look()
        assert refused.value.code == "own-layers-missing"
    assert not known.there


def test_what_was_changed_on_the_disk_is_not_used(tmp_path: Path) -> None:
    made, own = package(tmp_path, ("norm",)), OwnArrays(tmp_path / "runs", KEYS)
    own.settle("glioma-1", "d" * 64, to_bytes(MINE))
    layers = own_layers(made, own)
    assert layers is not None
    layers.file.write_bytes(layers.file.read_bytes()[:-1] + b"\0")
    with pytest.raises(NotAllowed) as refused:
        check_own_layers(made, own)
    assert refused.value.code == "own-layers-missing"


@pytest.mark.parametrize("kept", ["of another model", "of another run"])
def test_a_hospital_without_layers_of_its_own_cannot_use_it(tmp_path: Path, kept: str) -> None:
    made, own = package(tmp_path, ("norm",)), OwnArrays(tmp_path / "runs", KEYS)
    own.settle("glioma-1" if "model" in kept else "other-1", ("e" if "model" in kept else "d") * 64, to_bytes(MINE))
    for use in (lambda: check_own_layers(made, own), lambda: with_own(made, WEIGHTS, None)):
        with pytest.raises(NotAllowed) as refused:
            use()
        assert refused.value.code == "own-layers-missing"


def test_layers_that_do_not_fit_are_not_used(tmp_path: Path) -> None:
    made, own = package(tmp_path, ("norm",)), OwnArrays(tmp_path / "runs", KEYS)
    for wrong in ({"norm": np.zeros(3, np.float32)}, {"norm": np.full(2, np.nan, np.float32)}, {"w": WEIGHTS["w"]}):
        own.settle("glioma-1", "d" * 64, to_bytes(wrong))
        with pytest.raises(ArraysRefused):
            check_own_layers(made, own)


def test_a_model_that_has_none_needs_none(tmp_path: Path) -> None:
    made = package(tmp_path, ())
    assert own_layers(made, OwnArrays(tmp_path / "runs", KEYS)) is None
    assert with_own(made, WEIGHTS, None) == WEIGHTS
    (made / "configs" / "metadata.json").write_text('{"lineage": {"run": "../../etc"}}')
    with pytest.raises(BundleRefused):
        lineage_of(made)
