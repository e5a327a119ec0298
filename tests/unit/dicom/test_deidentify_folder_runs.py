"""A folder is de-identified whole, goes on where it was, and tells nothing of whose it was."""

from pathlib import Path

import pytest

from wardround.demo.identities import Canaries
from wardround.demo.patients import to_dicom
from wardround.demo.phantoms import hospitals
from wardround.dicom.confidentiality import Option, Profile
from wardround.dicom.deidentify_folder import JOURNAL, deidentify_folder
from wardround.dicom.errors import FolderRefused, ProfileInvalid

SECRET = b"a secret of the unit tests"
CANARIES = Canaries()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hospital = hospitals(2, seed=5, patients=1, slices=3, matrix=16, canaries=CANARIES)[0]
    study = to_dicom(hospital.patient(hospital.keys[0]))
    folder = tmp_path_factory.mktemp("Harrowgate^Edith")
    for at, part in enumerate((*study.slices, study.segmentation)):
        (folder / f"Harrowgate{at}.dcm").write_bytes(part)
    (folder / "notes.txt").write_text("no object")
    return folder


@pytest.mark.parametrize("processes", [1, 2])
def test_a_folder_is_done_whole_and_names_nobody(source: Path, tmp_path: Path, processes: int) -> None:
    report = deidentify_folder(source, tmp_path / "out", profile=Profile.research(), secret=SECRET, processes=processes)
    assert (report.found, report.done, dict(report.refused)) == (5, 4, {"not-part10": 1})
    assert (len(report.patients), len(report.studies), len(report.series)) == (1, 1, 2)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 5
    for path in written:
        assert "Harrowgate" not in str(path.relative_to(tmp_path)) and b"Harrowgate" not in path.read_bytes()


def test_a_second_run_goes_on_and_another_profile_or_folder_is_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    deidentify_folder(source, out, profile=Profile.research(), secret=SECRET)
    journal = out / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:10])
    again = deidentify_folder(source, out, profile=Profile.research(), secret=SECRET)
    assert (again.earlier, again.done) == (2, 4)
    assert journal.read_bytes() == b"".join(lines)
    with pytest.raises(FolderRefused, match="another profile"):
        deidentify_folder(source, out, profile=Profile.basic(), secret=SECRET)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(FolderRefused, match="empty"):
        deidentify_folder(source, tmp_path / "full", profile=Profile.research(), secret=SECRET)
    with pytest.raises(FolderRefused, match="inside"):
        deidentify_folder(source, source / "out", profile=Profile.research(), secret=SECRET)


def test_a_profile_that_contradicts_itself_or_misspells_is_refused() -> None:
    with pytest.raises(ProfileInvalid, match="contradict"):
        Profile(frozenset({Option.FULL_DATES, Option.MODIFIED_DATES}))
    for document, told in (
        ({"option": []}, "unknown key"),
        ({"options": ["dates"]}, "unknown option"),
        ({"accept": ["structured-report"]}, "clean-structured-content"),
        ({"accept": ["encapsulated"]}, "can't be accepted"),
        ({"safe_private": [{"creator": "A", "element": "0019xx0c", "vr": "IS"}]}, "safe-private"),
    ):
        with pytest.raises(ProfileInvalid, match=told):
            Profile.from_document(document)
