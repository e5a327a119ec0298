"""Volumes for learning: made once, bounded in size, no way round an opt-out, and what can't be used is counted."""

from __future__ import annotations

import os
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from tests.front_door import EVERYONE, FrontDoor, studies
from tests.unit.dicom import volume_lab as lab

from wardround.dicom.volume import LEARNING, read_volume
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.node.enclave.case import CaseRef, CaseUnusable, case_digest
from wardround.node.enclave.unusable import unusable
from wardround.node.enclave.volumes import Volumes
from wardround.node.optout.tables import OptOut, PatientKey


def opt_out(database: Database, pseudonym: str, at: object) -> None:
    with database.writing() as session:
        session.add(PatientKey(key="k" * 64, pseudonym=pseudonym))
        session.add(OptOut(key="k" * 64, kind="patient", scheme=None, added_at=at, added_by="person:ig"))


def test_who_opted_out_is_in_no_question_and_no_volume_from_then_on(door: FrontDoor) -> None:
    first, second = door.enclave.find(EVERYONE)
    door.enclave.case(first)
    opt_out(door.database, first.pseudonym, door.clock())
    assert door.enclave.count(EVERYONE) == 1
    assert door.enclave.find(EVERYONE) == door.enclave.manifest(EVERYONE).cases == (second,)
    with pytest.raises(CaseUnusable) as refused:
        door.enclave.case(first)
    assert refused.value.code == "opted-out"
    with door.database.writing() as session:
        session.query(OptOut).delete()
    assert door.enclave.case(first).ref == first, "taken back, it counts again"


def test_what_gave_no_volume_is_counted_by_cause_until_it_does(door: FrontDoor) -> None:
    first, second = door.enclave.find(EVERYONE)
    kept = door.objects.get
    broken = sha256(b"").hexdigest()

    def lost(digest: str) -> bytes:
        return kept(broken)

    door.objects.get = lost  # type: ignore[method-assign] # stands for a disk that lost it
    for _ in range(2):
        for ref in (first, second):
            with pytest.raises(CaseUnusable):
                door.enclave.case(ref)
    with door.database.reading() as session:
        assert unusable(session) == {"object-missing": 2}
    door.objects.get = kept  # type: ignore[method-assign] # and it was restored
    door.enclave.case(second)
    with door.database.reading() as session:
        assert unusable(session) == {"object-missing": 1}
    opt_out(door.database, first.pseudonym, door.clock())
    with door.database.reading() as session:
        assert unusable(session) == {}


class Shelf:
    """Series in an object store, and volumes made of them."""

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self.objects = ObjectStore(folder / "objects")
        self.volumes = Volumes(folder / "volumes", self.objects, limit=limit)

    def ref(self, series: list[bytes], label: bytes | None = None, name: str = "1.2") -> CaseRef:
        digests = [self.objects.put(part10) for part10 in series]
        drawn = None if label is None else self.objects.put(label)
        self.parts = (digests, drawn)
        return CaseRef(
            pseudonym="WR-A", study="1", series=name, label=drawn and "1.3", digest=case_digest(digests, drawn)
        )


def part10(ds: Dataset) -> bytes:
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def test_the_volumes_used_longest_ago_make_room(tmp_path: Path) -> None:
    slices = studies()[0].slices
    shelf = Shelf(tmp_path)
    refs = []
    for number in range(4):
        refs.append(shelf.ref(slices, name=f"1.2.{number}"))
        shelf.volumes.make(refs[-1], *shelf.parts)
    for age, ref in enumerate((2, 0, 3, 1)):
        [file] = (path for path in (tmp_path / "volumes").rglob("*.npz") if shelf.volumes._path(refs[ref]) == path)
        stamp = 1000 + age
        os.utime(file, (stamp, stamp))
    assert shelf.volumes.kept(refs[2]) is not None, "used now, so no longer the oldest"
    limit = shelf.volumes.size() * 3 // 4 + 100
    small = Volumes(tmp_path / "volumes", shelf.objects, limit=limit)
    last = shelf.ref(slices, name="1.2.9")
    small.make(last, *shelf.parts)
    assert small.size() <= limit
    assert [small.kept(ref) is not None for ref in (refs[2], refs[0], refs[3], last)] == [True, False, False, True]


def test_a_slice_that_was_filled_is_labelled_where_both_neighbours_are(tmp_path: Path) -> None:
    slices = lab.series(24)
    del slices[9]
    drawn = np.zeros((23, 20, 24), np.uint8)
    drawn[8, 4:10, 4:10] = drawn[9, 6:12, 4:10] = drawn[15, 2, 2] = 1
    shelf = Shelf(tmp_path)
    ref = shelf.ref([part10(ds) for ds in slices], part10(lab.segmentation(slices, drawn)))
    made = shelf.volumes.make(ref, *shelf.parts)
    assert made.label is not None and made.image.shape[0] == 24
    expected = np.zeros((20, 24), bool)
    expected[6:10, 4:10] = True
    np.testing.assert_array_equal(made.label[9], expected)
    np.testing.assert_array_equal(made.label[10:], drawn[9:].astype(bool))


def test_a_tilted_case_stands_upright_with_its_label(tmp_path: Path) -> None:
    study = studies()[0]
    tilted, label = [], pydicom.dcmread(BytesIO(study.segmentation))
    moved = {}
    for index, one in enumerate(study.slices):
        ds = pydicom.dcmread(BytesIO(one))
        ds.ImagePositionPatient[1] = float(ds.ImagePositionPatient[1]) + index * float(ds.PixelSpacing[0])
        moved[str(ds.SOPInstanceUID)] = ds.ImagePositionPatient
        tilted.append(part10(ds))
    for group in label.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        group.PlanePositionSequence[0].ImagePositionPatient = moved[str(source)]
    shelf = Shelf(tmp_path)
    ref = shelf.ref(tilted, part10(label))
    made = shelf.volumes.make(ref, *shelf.parts)
    plain = read_volume(tilted, LEARNING)
    assert plain.tilted and made.label is not None
    slices, rows, _ = plain.shape
    assert made.image.shape[1] == rows + slices - 1
    for index in range(slices):
        np.testing.assert_allclose(made.image[index, index : index + rows], plain.array[index], atol=1e-3)
    again = shelf.volumes.kept(ref)
    assert again is not None and again.unit == made.unit
    np.testing.assert_array_equal(again.label, made.label)
    assert made.label.sum() == np.unpackbits(np.frombuffer(label.PixelData, np.uint8)).sum()
