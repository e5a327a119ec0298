"""A package's archive: the same bytes for the same files, and nothing in one can be written outside its folder."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wardround.learning.archive import MOST_FILES, pack, unpack
from wardround.learning.bundle import BundleRefused


def archive(*files: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, data in files:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            made.writestr(info, data)
    return buffer.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(data: bytes, tmp_path: Path) -> str:
    with pytest.raises(BundleRefused) as error:
        unpack(data, tmp_path / "target")
    assert not (tmp_path / "target").exists(), "nothing of a package that is refused is kept"
    return error.value.reason


def test_the_same_files_make_the_same_bytes_and_come_back(tmp_path: Path) -> None:
    files = {"configs/metadata.json": b"{}", "models/model.safetensors": bytes(999), "a.txt": b""}
    packed = set()
    for number, names in enumerate((list(files), list(reversed(files)))):
        folder = tmp_path / str(number)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(files[name])
            os.utime(folder / name, (number * 1e6, number * 1e6))
        (folder / ".hidden").write_bytes(b"x")
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "m.pyc").write_bytes(b"x")
        packed.add(pack(folder))
    assert len(packed) == 1
    unpack(packed.pop(), tmp_path / "out")
    assert files_below(tmp_path / "out") == files


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:evil", "a/..", ".", "./", "a/./../.."]
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    data = archive(("good", b"1"), (name, b"2"))
    if name == "./":
        unpack(data, tmp_path / "target")  # the folder itself
        assert files_below(tmp_path / "target") == {"good": b"1"}
        return
    assert refused(data, tmp_path) == "unsafe-name"
    assert files_below(tmp_path) == {}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b/c", "a")])
def test_two_files_of_one_name_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    assert refused(archive(*((name, b"1") for name in names)), tmp_path) == "unsafe-name"


def test_a_damaged_archive_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    whole = archive(("a", b"first file"), ("b", b"second file"))
    damaged = whole.replace(b"second file", b"second f1le")
    assert refused(damaged, tmp_path) == "unreadable"
    deflated = bytearray(archive(("a", bytes(5000)), method=zipfile.ZIP_DEFLATED))
    deflated[35:40] = b"\xff" * 5
    assert refused(bytes(deflated), tmp_path) == "unreadable"
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        assert refused(whole[:cut], tmp_path) == "unreadable"


def test_an_encrypted_or_oddly_packed_file_is_refused(tmp_path: Path) -> None:
    whole = archive(("a", b"first file"))
    central = whole.index(b"PK\x01\x02")
    for start, flag in ((6, 1), (8, 99)):
        odd = bytearray(whole)
        odd[start] = odd[central + start + 2] = flag
        assert refused(bytes(odd), tmp_path) == "unreadable"


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(archive(*((f"f{n}", b"") for n in range(MOST_FILES + 1))), tmp_path) == "too-large"
    monkeypatch.setattr("wardround.learning.archive.LARGEST_PACKAGE", 1000)
    bomb = archive(("a", bytes(1001)), method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 300
    assert refused(bomb, tmp_path) == "too-large"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(where=172, what=b"\0")  # a file without a name
@given(where=st.integers(0, 400), what=st.binary(min_size=1, max_size=4))
def test_any_damage_ends_in_a_refusal_or_in_files_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, where: int, what: bytes
) -> None:
    data = bytearray(archive(("a/x", b"first"), ("b", bytes(50)), method=zipfile.ZIP_DEFLATED))
    data[where : where + len(what)] = what
    home = tmp_path_factory.mktemp("home")
    try:
        unpack(bytes(data), home / "target")
    except BundleRefused:
        assert [path.name for path in home.iterdir()] == []
    else:
        assert [path.name for path in home.iterdir()] == ["target"]
