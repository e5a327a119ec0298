"""Files are whole or absent, and an object is what its name says or an error."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.foundation.errors import WardroundError
from wardround.foundation.files import ObjectDamaged, ObjectMissing, ObjectStore, write_whole


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    write_whole(path, b"first")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@given(st.binary(max_size=200))
def test_an_object_comes_back_under_the_digest_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    digest = store.put(data)
    assert digest == sha256(data).hexdigest() == store.put(data)
    assert store.has(digest) and store.get(digest) == data
    assert len([path for path in store.root.rglob("*") if path.is_file()]) == 1
    store.remove(digest)
    store.remove(digest)
    assert not store.has(digest)


def test_a_missing_or_damaged_object_is_an_error_for_people(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    digest = store.put(b"data")
    store.path(digest).write_bytes(b"dat4")
    with pytest.raises(ObjectDamaged, match="restore it from a backup") as damaged:
        store.get(digest)
    store.path(digest).unlink()
    with pytest.raises(ObjectMissing) as missing:
        store.get(digest)
    for error in (damaged.value, missing.value):
        assert isinstance(error, WardroundError)
        assert str(tmp_path) not in str(error)
    assert (damaged.value.code, missing.value.code) == ("object-damaged", "not-found")


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "g" * 64, "a" * 65])
def test_a_name_that_is_no_digest_leads_nowhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ObjectMissing):
        ObjectStore(tmp_path).get(name)
    with pytest.raises(ObjectMissing):
        ObjectStore(tmp_path).has(name)
