"""Model packages: MONAI can load them, outsiders can't smuggle code in, the digest tells any change."""

import json
import os
import shutil

import numpy as np
import pytest

from wardround.learning.arrays import ArraysRefused, digest
from wardround.learning.bundle import (
    BundleRefused,
    bundle_digest,
    export_bundle,
    load_bundle,
    packaged,
    read_bundle,
)


@pytest.fixture(scope="module")
def arrays():
    from wardround.learning.segmenter import Segmenter

    return Segmenter(packaged()).initial(3)


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(packaged(), tmp_path / "copy")


def edit(bundle, file, change):
    path = bundle / "configs" / file
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def reason(call, *args, **kwargs):
    with pytest.raises(BundleRefused) as refusal:
        call(*args, **kwargs)
    return refusal.value.reason


def test_an_exported_model_comes_back_whole(arrays, tmp_path):
    told = export_bundle(arrays, tmp_path / "model", {"version": "0.1.7", "trained_by": {"run": "r-1"}})
    bundle, back = load_bundle(tmp_path / "model")
    assert digest(back) == digest(arrays)
    assert bundle.version == "0.1.7"
    assert bundle.settings.keys() >= {"default", "phantoms"}
    assert told == bundle_digest(tmp_path / "model")
    assert json.loads((tmp_path / "model/configs/metadata.json").read_text())["trained_by"] == {"run": "r-1"}
    assert {path.name for path in (tmp_path / "model").rglob("*") if path.is_file()} >= {
        "metadata.json", "train.json", "evaluate.json", "inference.json", "README.md", "LICENSE.md",
        "model.safetensors",
    }  # fmt: skip


def test_monai_builds_the_network_from_the_bundle_and_its_weights_fit(arrays, tmp_path):
    import torch
    from monai.bundle import ConfigParser
    from safetensors.torch import load_file

    export_bundle(arrays, tmp_path / "model", {})
    parser = ConfigParser()
    parser.read_config(str(tmp_path / "model/configs/inference.json"))
    parser.read_meta(str(tmp_path / "model/configs/metadata.json"))
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(load_file(tmp_path / "model/models/model.safetensors"))
    expected = parser.get_parsed_content("_meta_#network_data_format#inputs#image")
    answer = network(torch.zeros(1, expected["num_channels"], *expected["spatial_shape"]))
    outputs = parser.get_parsed_content("_meta_#network_data_format#outputs#pred")
    assert answer.shape == (1, outputs["num_channels"], *outputs["spatial_shape"])


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("inference.json", lambda c: c.update(run="$import os"), "code"),
        ("train.json", lambda c: c["settings"].update(a={"deep": ["$__import__('os')"]}), "code"),
        ("metadata.json", lambda c: c.update(description="$print(1)"), "code"),
        ("evaluate.json", lambda c: c.update({"$x": 1}), "code"),
        ("evaluate.json", lambda c: c.update(imports=["math"]), "code"),
        ("evaluate.json", lambda c: c.update(x="%/etc/passwd"), "code"),
        ("inference.json", lambda c: c["network_def"].update(_mode_="debug"), "code"),
        ("inference.json", lambda c: c["network_def"].update(_requires_="@x"), "code"),
        ("inference.json", lambda c: c["network_def"].update(_target_="os.system"), "unknown-target"),
        ("evaluate.json", lambda c: c.update(x=[{"_target_": "subprocess.run"}]), "unknown-target"),
        ("inference.json", lambda c: c["network_def"].update(in_channels=1), "wrong-network"),
        ("inference.json", lambda c: c["network_def"].update(init_filters=10**9), "wrong-network"),
        ("inference.json", lambda c: c["preparation"].update(grid=[97, 80]), "wrong-network"),
        ("inference.json", lambda c: c["preparation"].update(gird=[96, 80]), "wrong-config"),
        ("inference.json", lambda c: c.pop("network_def"), "wrong-network"),
        ("train.json", lambda c: c["settings"].pop("default"), "wrong-config"),
        ("train.json", lambda c: c["settings"]["default"].update(local_steps="many"), "wrong-config"),
        ("train.json", lambda c: c["settings"]["default"].update(learning_rat=1), "wrong-config"),
        ("metadata.json", lambda c: c.pop("version"), "wrong-metadata"),
    ],
)
def test_a_bundle_that_is_not_plain_data_of_the_known_kind_is_refused(copy, file, change, expected):
    read_bundle(copy)
    edit(copy, file, change)
    assert reason(read_bundle, copy) == expected


def test_an_incomplete_or_unreadable_bundle_is_refused(copy, tmp_path):
    assert reason(load_bundle, copy) == "no-weights"
    (copy / "configs/train.json").write_text("{")
    assert reason(read_bundle, copy) == "unreadable"
    (copy / "configs/train.json").write_text("[" * 100_000)
    assert reason(read_bundle, copy) == "unreadable"
    (copy / "configs/train.json").unlink()
    assert reason(read_bundle, copy) == "incomplete"
    assert reason(read_bundle, tmp_path / "nowhere") == "incomplete"
    assert reason(bundle_digest, tmp_path / "nowhere") == "incomplete"
    assert reason(packaged, "no-such-package") == "unknown-package"


def test_weights_that_are_not_finite_are_neither_exported_nor_loaded(arrays, tmp_path):
    broken = {name: array.copy() for name, array in arrays.items()}
    next(iter(broken.values())).flat[0] = np.nan
    with pytest.raises(ArraysRefused):
        export_bundle(broken, tmp_path / "model", {})
    assert not (tmp_path / "model").exists()


def test_export_neither_overwrites_nor_takes_code_as_metadata(arrays, tmp_path):
    export_bundle(arrays, tmp_path / "model", {})
    with pytest.raises(FileExistsError):
        export_bundle(arrays, tmp_path / "model", {})
    assert reason(export_bundle, arrays, tmp_path / "other", {"note": "$1+1"}) == "code"
    assert not (tmp_path / "other").exists()


def test_the_digest_is_about_names_and_content_only(copy):
    before = bundle_digest(copy)
    assert before == bundle_digest(packaged())
    os.utime(copy / "docs/README.md", (1, 1))
    (copy / "configs/__pycache__").mkdir()
    (copy / "configs/__pycache__/x.pyc").write_bytes(b"x")
    assert bundle_digest(copy) == before
    (copy / "docs/README.md").rename(copy / "docs/READYOU.md")
    renamed = bundle_digest(copy)
    assert renamed != before
    (copy / "docs/READYOU.md").rename(copy / "docs/README.md")
    (copy / "docs/extra").write_bytes(b"")
    assert bundle_digest(copy) not in {before, renamed}


def test_a_link_in_a_bundle_is_refused(copy):
    (copy / "docs/link").symlink_to("/etc/hostname")
    assert reason(bundle_digest, copy) == "unreadable"
