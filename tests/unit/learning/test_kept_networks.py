"""What OpenVINO made of a network is kept, taken up where it is whole and agrees, and read with without PyTorch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers.utils import sliding_window_inference
from torch.nn import functional

from wardround.compute import serving
from wardround.compute.jail import Bounds
from wardround.compute.serving import reader_of
from wardround.learning import openvino_network, prediction
from wardround.learning.bundle import bundle_digest, export_bundle, packaged, read_bundle
from wardround.learning.case import Case
from wardround.learning.openvino_network import keep, take
from wardround.learning.runtime import check_input, converted
from wardround.learning.segmenter import Segmenter

needs_openvino = pytest.mark.skipif(not openvino_network.installed(), reason="openvino is not installed")
CASE = Case("", np.random.default_rng(0).random((3, 40, 32), np.float32) * 100, None, (3.0, 1.0, 1.0))

_ALONE = """
import sys
from pathlib import Path
import numpy as np
from wardround.compute.jail import Bounds
from wardround.compute.serving import reader_of
from wardround.learning.case import Case
reads, arrays = reader_of(Path(sys.argv[1]), Bounds())
reads.serve(arrays)
image = np.random.default_rng(0).random((3, 40, 32), np.float32) * 100
np.save(sys.argv[2], reads.predict(arrays, Case("", image, None, (3.0, 1.0, 1.0))))
print(reads.runtime)
assert not {"torch", "monai"} & sys.modules.keys()
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "package"
    export_bundle(Segmenter(packaged()).initial(3), folder, {})
    return folder


@needs_openvino
def test_a_process_reads_as_pytorch_does_and_never_loads_it(package: Path, tmp_path: Path) -> None:
    reads, arrays = reader_of(package, Bounds())
    expected = reads.predict(arrays, CASE)
    assert reads.runtime == "PyTorch"
    reads.serve(arrays)
    assert reads.runtime.startswith("OpenVINO") and "argmax 1.000000" in reads.runtime
    mask = tmp_path / "mask.npy"
    command = [sys.executable, "-c", _ALONE, str(package), str(mask)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("OpenVINO")
    assert (np.load(mask) == expected).mean() > 0.999


@needs_openvino
def test_other_weights_than_the_packages_are_kept_nowhere(package: Path) -> None:
    reads, arrays = reader_of(package, Bounds())
    kept = package.with_name("package.openvino")
    before = sorted(file.read_bytes() for file in kept.iterdir()) if kept.exists() else []
    own = {**arrays, **{name: 2 * array for name, array in arrays.items() if name.endswith("bias")}}
    reads.serve(own)
    expected = Segmenter(packaged()).predict(own, CASE)
    assert (reads.predict(own, CASE) == expected).mean() > 0.999
    assert before == (sorted(file.read_bytes() for file in kept.iterdir()) if kept.exists() else [])


@needs_openvino
def test_what_was_kept_and_isnt_whole_or_of_another_package_isnt_taken(tmp_path: Path) -> None:
    module, sample = torch.nn.Conv2d(1, 2, 3, padding=1).eval(), check_input((2, 1, 8, 8))
    with torch.no_grad():
        outputs = module(sample).numpy()
    folder = tmp_path / "kept"
    keep(folder, converted(module, sample), "a" * 64, sample.numpy(), outputs, "PyTorch")
    taken = take(folder, "a" * 64, 1)
    assert taken is not None
    assert taken.agreed.enough
    assert np.allclose(taken.run(sample.numpy()[:1]), outputs[:1], atol=1e-5)
    assert take(folder, "b" * 64, 1) is None
    weights = folder / "network.bin"
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    assert take(folder, "a" * 64, 1) is None
    assert take(tmp_path / "nothing", "a" * 64, 1) is None
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@needs_openvino
def test_what_was_kept_and_disagrees_reads_nothing(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "models" / "package"
    export_bundle(Segmenter(packaged()).initial(3), folder, {})
    other = torch.nn.Conv2d(12, 4, 1).eval()
    shape = prediction.input_shape(read_bundle(folder))
    assert shape is not None
    sample = check_input(shape)
    with torch.no_grad():
        wrong = -other(sample).numpy()
    model, kept = converted(other, sample), folder.with_name("package.openvino")
    keep(kept, model, bundle_digest(folder), sample.numpy(), wrong, "PyTorch")
    made_by = kept / "made-by"
    made_by.write_text(serving._made_by())
    reads, arrays = reader_of(folder, Bounds())
    reads.serve(arrays)
    expected = Segmenter(packaged()).predict(arrays, CASE)
    assert (reads.predict(arrays, CASE) == expected).mean() > 0.999
    assert np.array_equal(np.load(kept / "check.npz")["outputs"], wrong), (
        "what disagrees here isn't made again and again"
    )
    made_by.write_text("Wardround 0.0.9, OpenVINO 2025.1, another processor")
    reads, arrays = reader_of(folder, Bounds())
    reads.serve(arrays)
    assert reads.runtime.startswith("OpenVINO") and made_by.read_text() == serving._made_by()


@needs_openvino
def test_what_was_made_ahead_is_only_taken_up(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "package"
    shutil.copytree(package, folder)
    serving.prepare(folder, 1)
    monkeypatch.setattr(serving, "_convert", None)
    serving.prepare(folder, 1)
    reads, arrays = reader_of(folder, Bounds())
    reads.serve(arrays)
    assert reads.runtime.startswith("OpenVINO")
    (tmp_path / "empty").mkdir()
    serving.prepare(tmp_path / "empty", 1)
    assert not (tmp_path / "empty.openvino").exists(), "a package that can't be used is left to who reads with it"


@given(st.tuples(*[st.integers(3, 40)] * 3), st.tuples(*[st.integers(4, 16)] * 3))
@settings(max_examples=15, deadline=None)
def test_boxes_of_a_volume_are_put_together_as_monai_does(
    shape: tuple[int, int, int], patch: tuple[int, int, int]
) -> None:
    image = np.random.default_rng(1).random(shape, np.float32)
    network = torch.nn.AvgPool3d(3, 1, 1)
    expected = sliding_window_inference(torch.from_numpy(image)[None, None], patch, 1, network, overlap=0.25)
    found = prediction.windows(image, patch, lambda box: np.asarray(network(torch.from_numpy(box))))
    assert np.allclose(found, np.asarray(expected)[0, 0], atol=1e-6)


def test_pixels_are_folded_as_torch_does() -> None:
    batch = np.random.default_rng(2).random((3, 5, 12, 8), np.float32)
    folded = prediction._folded(batch, 2)
    assert np.array_equal(folded, functional.pixel_unshuffle(torch.from_numpy(batch), 2).numpy())
    assert np.array_equal(prediction._unfolded(folded, 2), batch)
