"""Files are whole or absent, and an object is what its name says or an error."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.foundation import files
from wardround.foundation.errors import WardroundError
from wardround.foundation.files import ASIDE, Flush, ObjectDamaged, ObjectMissing, ObjectStore, write_whole


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


@pytest.mark.parametrize("several", [True, False], ids=["one flush", "a flush each"])
def test_no_object_of_a_batch_has_its_name_before_all_bytes_are_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    store = ObjectStore(tmp_path / "objects")
    told: list[str] = []
    flushed, renamed = Flush.files, os.replace

    def flush(self: Flush, paths: object) -> None:
        flushed(self, paths)  # type: ignore[arg-type] # what the batch gave
        told.append("flush")

    def rename(old: Path, new: Path) -> None:
        told.append("name")
        renamed(old, new)

    monkeypatch.setattr(Flush, "files", flush)
    monkeypatch.setattr(os, "replace", rename)
    if not several:
        monkeypatch.setattr(files, "_syncfs", lambda: None)
    with store.batch() as batch:
        digests = [batch.put(bytes([number]) * 100) for number in (*range(20), 3)]
        assert list(store.digests()) == []
    assert told == ["flush", *["name"] * 20, "flush"]
    assert sorted(set(digests)) == list(store.digests())
    assert store.get(digests[-1]) == bytes([3]) * 100 and not list(store.rubbish())
    with store.batch() as batch:
        assert [batch.put(data) for data in (b"a", b"b", b"a")] == [
            sha256(data).hexdigest() for data in (b"a", b"b", b"a")
        ]


def test_a_batch_that_fails_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(tmp_path)
    before = store.put(b"before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Flush, "files", full)
        with pytest.raises(OSError, match="No space"), store.batch() as batch:
            batch.put(b"one")
            batch.put(b"two")
    with pytest.raises(LookupError), store.batch() as batch:
        batch.put(b"three")
        raise LookupError
    assert list(store.digests()) == [before]
    assert not list((tmp_path / ASIDE).iterdir())


def test_what_a_crash_left_aside_is_no_object(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    digest = store.put(b"whole")
    (tmp_path / ASIDE / "0123").write_bytes(b"hal")
    store.path(digest).with_name(f".{digest}.12ab").write_bytes(b"hal")
    assert list(store.digests()) == [digest]
    assert len(list(store.rubbish())) == 2


def test_an_object_put_again_counts_as_fresh(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    digest = store.put(b"bytes")
    os.utime(store.path(digest), (1000, 1000))
    assert store.put_since(digest, 1000) and not store.put_since(digest, 1001)
    store.put(b"bytes")
    assert store.put_since(digest, 1001)
    assert not store.put_since("0" * 64, 0)
