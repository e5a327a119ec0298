"""Pictures of colour, palettes and further compressions are what dcmtk draws of the same object."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from wardround.node.dicomweb.rendering import View, Window, rendered

DRAW = shutil.which("dcmj2pnm", path="/usr/bin")
JPEG_LS = shutil.which("dcmdjpls", path="/usr/bin")
pytestmark = pytest.mark.skipif(None in (DRAW, JPEG_LS), reason="dcmtk isn't installed (Debian: dcmtk)")


def picture(file: Path, view: View | None = None) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(rendered(file, 1, view or View(), "image/png"))))


def drawn(file: Path, folder: Path, *options: str) -> np.ndarray:
    target = folder / "drawn.png"
    subprocess.run([str(DRAW), "+on", *options, str(file), str(target)], check=True, capture_output=True, timeout=60)
    return np.asarray(Image.open(target))


def example(name: str) -> Path:
    found = get_testdata_file(name, download=False)
    if found is None:
        pytest.skip(f"pydicom brings no {name}")
    return Path(str(found))


def far(ours: np.ndarray, theirs: np.ndarray) -> int:
    assert ours.shape == theirs.shape
    return int(np.abs(ours.astype(int) - theirs.astype(int)).max())


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("examples_rgb_color.dcm", 0),
        ("examples_palette.dcm", 0),
        ("SC_rgb_rle.dcm", 0),
        ("SC_rgb_rle_16bit.dcm", 1),
        ("SC_rgb_dcmtk_+eb+cr.dcm", 1),  # JPEG, RGB within
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", 3),  # JPEG, YBR_FULL: two decoders round differently
        ("SC_ybr_full_422_uncompressed.dcm", 3),
    ],
)
def test_colour_is_drawn_as_dcmtk_draws_it(name: str, tolerance: int, tmp_path: Path) -> None:
    file = example(name)
    assert far(picture(file), drawn(file, tmp_path)) <= tolerance


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm"])
def test_jpeg_ls_is_drawn_as_dcmtk_draws_it(name: str, tmp_path: Path) -> None:
    file = example(name)
    plain = tmp_path / "plain.dcm"
    subprocess.run([str(JPEG_LS), str(file), str(plain)], check=True, capture_output=True, timeout=60)
    # The same window is asked of both: these objects have none, and programs choose differently then.
    levels = pydicom.dcmread(plain).pixel_array
    center, width = float(levels.mean()), float(max(2, levels.max() - levels.min()))
    ours = picture(file, View(window=Window(center, width)))
    assert far(ours, drawn(plain, tmp_path, "+Ww", str(center), str(width))) <= 1
    assert len(np.unique(ours)) > 2
