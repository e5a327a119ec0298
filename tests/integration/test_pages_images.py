"""Images in pages: voxels are those of the objects, only who may look gets them, and that they looked is on record."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import generate_uid
from sqlalchemy import func, update
from tests.images_lab import ORDERED, SHADOWED, ImagesLab, heads, seen_by
from tests.pages_lab import form_of, words_of
from tests.web_lab import part10

from wardround.compute.worker import WorkerDied, WorkerTooSlow
from wardround.dicom.segmentation_reading import read_segmentation
from wardround.dicom.volume import read_volume
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file, write_file
from wardround.node.clinic.tables import Deployment, WorklistAnswer, WorklistLine
from wardround.node.enclave import listing
from wardround.node.enclave.tables import EnclaveInstance, EnclaveSeries, EnclaveStudy
from wardround.node.optout.tables import OptOut, PatientKey


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagesLab]:
    lab = ImagesLab(tmp_path_factory.mktemp("images") / "home")
    yield lab
    lab.close()


def test_a_volume_and_its_label_have_the_voxels_of_the_objects_on_one_grid(lab: ImagesLab) -> None:
    study, series, label = lab.labelled()
    browser = lab.face.browser("radiologist")
    page = browser.get(f"/enclave/{study}")
    for address in (f"/enclave/{study}/{series}/volume.nii.gz", f"/enclave/{study}/{series}/labels/{label}.nii.gz"):
        assert address in page.text
    volume = read_file(browser.get(f"/enclave/{study}/{series}/volume.nii.gz").content, NIFTI_GZ)
    mask = read_file(browser.get(f"/enclave/{study}/{series}/labels/{label}.nii.gz").content, NIFTI_GZ)
    sent = read_volume(lab.enclosed.slices)
    np.testing.assert_array_equal(volume.array, sent.array)
    np.testing.assert_allclose(volume.affine, sent.affine, atol=1e-4)
    np.testing.assert_allclose(mask.affine, volume.affine)
    np.testing.assert_array_equal(mask.array > 0, read_segmentation(lab.enclosed.segmentation, sent))
    assert lab.audited("view-image", "view-label") == [
        ("person:radiologist", "view-image", series),
        ("person:radiologist", "view-label", label),
    ]


def test_a_picture_stands_in_for_the_volume_and_shows_the_label(lab: ImagesLab) -> None:
    study, series, _ = lab.labelled()
    answer = lab.face.browser("radiologist").get(f"/enclave/{study}/{series}/middle.png")
    colours = np.asarray(Image.open(BytesIO(answer.content)))
    assert answer.headers["content-type"] == "image/png" and len(np.unique(colours)) > 20
    assert (colours == (255, 176, 0)).all(axis=2).any(), "the outline isn't drawn"


def test_a_series_that_is_no_volume_says_so_without_naming_anything_and_has_a_picture(lab: ImagesLab) -> None:
    with lab.home.database.reading() as session:
        [(study, series)] = session.query(EnclaveSeries.study_uid, EnclaveSeries.uid).filter(
            EnclaveSeries.rows > 16,
            EnclaveSeries.modality != "SEG",
            EnclaveSeries.uid != lab.labelled()[1],
        )
    browser = lab.face.browser("radiologist")
    refused = browser.get(f"/enclave/{study}/{series}/volume.nii.gz")
    told = words_of(refused)
    assert refused.status_code == 409 and "can't be scrolled through" in told
    assert series not in told and "/" not in told.split("That can't be done")[-1].split("As of")[0]
    assert browser.get(f"/enclave/{study}/{series}/middle.png").headers["content-type"] == "image/png"


def test_studies_are_found_by_what_is_asked_and_shown_a_page_at_a_time(
    lab: ImagesLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = lab.face.browser("data-controller")
    assert "4 studies" in words_of(browser.get("/enclave"))
    assert "3 studies" in words_of(browser.get("/enclave?labelled=yes&modality=MR"))
    assert "1 study" in words_of(browser.get("/enclave?labelled=no"))
    assert "No study is like that" in words_of(browser.get("/enclave?modality=CT"))
    for nonsense in ("x", "0", "9" * 5000):
        assert browser.get(f"/enclave?page={nonsense}").status_code == 403
    monkeypatch.setattr(listing, "AT_ONCE", 3)
    monkeypatch.setattr("wardround.node.pages.enclave.AT_ONCE", 3)
    first, second = (browser.get(f"/enclave?page={page}") for page in (1, 2))
    rows = [set(page.text.split('href="/enclave/')[1:]) for page in (first, second)]
    assert [len(found) for found in rows] == [3, 1] and not rows[0] & rows[1]
    assert "Page 1 of 2" in words_of(first) and "Older" in words_of(first) and "Newer" in words_of(second)


def test_whoever_opts_out_is_gone_from_pages_and_files_with_the_next_call(lab: ImagesLab) -> None:
    study, series, label = lab.labelled()
    files = [f"/enclave/{study}"]
    files += [f"/enclave/{study}/{series}/{name}" for name in ("volume.nii.gz", "middle.png", f"labels/{label}.nii.gz")]
    assert [seen_by(lab.face, "radiologist", path) for path in files] == [200] * 4
    with lab.home.database.writing() as session:
        pseudonym = session.get_one(EnclaveStudy, study).pseudonym
        key = session.query(PatientKey.key).filter(PatientKey.pseudonym == pseudonym).first()
        assert key is not None
        out = OptOut(key=key[0], kind="issuer", added_by="os:test", added_at=lab.node.clock())
        session.add(out)
    try:
        assert [seen_by(lab.face, "radiologist", path) for path in files] == [404] * 4
        assert study not in lab.face.browser("radiologist").get("/enclave").text
    finally:
        with lab.home.database.writing() as session:
            session.delete(session.merge(out))


FILES = ("volume.nii.gz", "middle.png", "result.nii.gz")


def statuses(lab: ImagesLab, name: str, pathway: str) -> list[int]:
    return [seen_by(lab.face, name, f"/worklist/{lab.study}/{file}?pathway={pathway}") for file in FILES]


@pytest.fixture
def unread(lab: ImagesLab) -> Iterator[None]:
    """As if nobody had said anything of the study yet, before and after."""
    yield
    with lab.home.database.writing() as session:
        session.query(WorklistAnswer).delete()


def opened(lab: ImagesLab, pathway: str) -> None:
    browser = lab.face.browser("radiologist")
    page = browser.get(f"/worklist/{lab.study}?pathway={pathway}")
    form = {"form": form_of(page), "pathway": pathway}
    assert browser.post(f"/worklist/{lab.study}/open", data=form).status_code == 303


@pytest.mark.usefixtures("unread")
def test_in_shadow_use_readers_get_the_images_and_examiners_the_result(lab: ImagesLab) -> None:
    """Whoever reads as well as examines is a reader, and isn't told."""
    assert statuses(lab, "radiologist", SHADOWED) == [403, 403, 403], "nobody has opened the study"
    opened(lab, SHADOWED)
    assert statuses(lab, "radiologist", SHADOWED) == [200, 200, 403]
    assert statuses(lab, "all", SHADOWED) == [200, 200, 403]
    assert statuses(lab, "safety-officer", SHADOWED) == [200, 200, 200]
    assert statuses(lab, "data-controller", SHADOWED) == [403, 403, 403]
    address = f"/worklist/{lab.study}?pathway={SHADOWED}"
    for name, told in (("radiologist", False), ("all", False), ("safety-officer", True)):
        page = lab.face.browser(name).get(address)
        assert ("6.3 ml" in page.text, "result.nii.gz" in page.text) == (told, told), name
    middle = lab.face.browser("radiologist").get(f"/worklist/{lab.study}/middle.png?pathway={SHADOWED}").content
    assert not (np.asarray(Image.open(BytesIO(middle))) == (255, 176, 0)).all(axis=2).any(), "the picture tells it"
    looked = {(actor, verb) for actor, verb, _ in lab.audited("view-study", "view-result")}
    assert ("person:safety-officer", "view-result") in looked and ("person:radiologist", "view-result") not in looked
    assert {subject for *_, subject in lab.audited("view-study", "view-result")} == {lab.study}


@pytest.mark.usefixtures("unread")
def test_where_findings_are_shown_the_outline_lies_on_the_study_once_it_is_opened(lab: ImagesLab) -> None:
    assert statuses(lab, "radiologist", ORDERED) == [403, 403, 403]
    opened(lab, ORDERED)
    assert statuses(lab, "radiologist", ORDERED) == [200, 200, 200]
    assert statuses(lab, "safety-officer", ORDERED) == [403, 403, 403], "it is for who reads, not for examiners"
    browser = lab.face.browser("radiologist")
    page = browser.get(f"/worklist/{lab.study}?pathway={ORDERED}")
    assert "result.nii.gz" in page.text and "moved up: flagged by a model" in words_of(page)
    volume, mask = (
        read_file(browser.get(f"/worklist/{lab.study}/{file}?pathway={ORDERED}").content, NIFTI_GZ)
        for file in ("volume.nii.gz", "result.nii.gz")
    )
    sent = read_volume(lab.sent.slices)
    np.testing.assert_array_equal(volume.array, sent.array)
    np.testing.assert_array_equal(mask.array > 0, read_segmentation(lab.sent.segmentation, sent))


@pytest.mark.usefixtures("unread")
def test_a_suspended_models_result_is_shown_to_nobody(lab: ImagesLab) -> None:
    for pathway in (SHADOWED, ORDERED):
        opened(lab, pathway)
    with lab.home.database.writing() as session:
        session.execute(update(Deployment).values(active=False))
    try:
        for name in ("radiologist", "safety-officer"):
            for pathway in (SHADOWED, ORDERED):
                assert statuses(lab, name, pathway)[2] == 403, (name, pathway)
    finally:
        with lab.home.database.writing() as session:
            session.execute(update(Deployment).values(active=True))


def drawn_of(mask: Grid, array: np.ndarray[Any, Any]) -> str:
    """A mask as the page sends it."""
    return urlsafe_b64encode(write_file(Grid(array.astype(np.uint8), mask.affine), NIFTI_GZ)).decode()


@pytest.mark.usefixtures("unread")
def test_a_radiologist_corrects_the_outline_that_the_model_gave(lab: ImagesLab) -> None:
    here, asked = f"/worklist/{lab.study}", f"?pathway={ORDERED}"
    assert seen_by(lab.face, "radiologist", f"{here}/correct{asked}") == 403, "nobody has opened the study"
    opened(lab, ORDERED)
    opened(lab, SHADOWED)
    assert seen_by(lab.face, "radiologist", f"{here}/correct?pathway={SHADOWED}") == 403, (
        "its result is shown to nobody"
    )
    for name in ("safety-officer", "data-controller"):
        assert seen_by(lab.face, name, f"{here}/correct{asked}") == 403, name
    browser = lab.face.browser("radiologist")
    assert f"{here}/correct{asked}" in browser.get(f"{here}{asked}").text
    page = browser.get(f"{here}/correct{asked}")
    assert f'data-label="{here}/result.nii.gz{asked}"' in page.text, "it begins with the model's outline"
    form = {"form": form_of(page), "reason": "too-small"}
    first = read_file(browser.get(f"{here}/result.nii.gz{asked}").content, NIFTI_GZ)
    marked = first.array > 0
    z, y, x = (int(at) for at in np.argwhere(marked)[0])
    clicks = {"form": form["form"], "model": "clicks", "foreground": json.dumps([[x, y, z]])}
    helped = browser.post(f"{here}/outline{asked}", data=clicks)
    assert helped.status_code == 200 and read_file(helped.content, NIFTI_GZ).array[z, y, x]
    assert browser.post(f"{here}/outline{asked}", data=clicks | {"model": "brain-mri-glioma"}).status_code == 403
    for wrong in (marked, np.zeros_like(marked)):
        refused = browser.post(f"{here}/correct{asked}", data=form | {"label": drawn_of(first, wrong)})
        assert refused.status_code in (400, 403, 409), refused.status_code
    other = Grid(first.array[1:], first.affine)
    assert (
        browser.post(f"{here}/correct{asked}", data=form | {"label": drawn_of(other, other.array)}).status_code >= 400
    )
    larger = marked.copy()
    larger[z, y, :] = True
    saved = browser.post(f"{here}/correct{asked}", data=form | {"label": drawn_of(first, larger)})
    assert saved.status_code == 303 and "done=judged" in saved.headers["location"]
    with lab.home.database.reading() as session:
        [answer] = session.query(WorklistAnswer).filter(WorklistAnswer.outline.is_not(None)).all()
    assert (answer.verb, answer.actor, answer.reason) == ("correct-result", "person:radiologist", "too-small")
    agree = 2 * marked.sum() / (marked.sum() + larger.sum())
    assert answer.overlap == pytest.approx(agree) and not answer.label, "its pathway allows no labels"
    kept = read_segmentation(lab.home.path / "results" / str(answer.outline), read_volume(lab.sent.slices))
    np.testing.assert_array_equal(kept, larger)
    assert f"overlaps the model's by {agree:.2f}" in words_of(browser.get(f"{here}{asked}"))
    np.testing.assert_array_equal(
        read_file(browser.get(f"{here}/result.nii.gz{asked}").content, NIFTI_GZ).array, first.array
    )


@pytest.mark.usefixtures("unread")
def test_what_is_no_longer_kept_is_said_to_be_gone(lab: ImagesLab) -> None:
    opened(lab, ORDERED)
    with lab.home.database.writing() as session:
        session.execute(update(WorklistLine).values(result=None))
    try:
        browser = lab.face.browser("radiologist")
        assert "result.nii.gz" not in browser.get(f"/worklist/{lab.study}?pathway={ORDERED}").text
        assert statuses(lab, "radiologist", ORDERED) == [200, 200, 404]
    finally:
        with lab.home.database.writing() as session:
            session.execute(update(WorklistLine).values(result="outline.dcm"))


def test_of_a_series_of_several_volumes_one_is_shown_and_the_others_can_be_chosen(lab: ImagesLab) -> None:
    """Two echoes at one place, of which the second is brighter."""
    first, second = [], []
    for one in heads(8, 32)[3].slices:
        ds = pydicom.dcmread(BytesIO(one))
        ds.EchoTime, ds.SeriesDescription = 10, "echoes"
        first.append(part10(ds))
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.EchoTime, ds.RescaleIntercept, ds.RescaleSlope = 80, 700, 1
        second.append(part10(ds))
    lab.door.give(*first, *second)
    lab.door.tick()
    with lab.home.database.reading() as session:
        [(study, series)] = (
            session.query(EnclaveSeries.study_uid, EnclaveSeries.uid)
            .filter(EnclaveSeries.rows > 16)
            .join(EnclaveInstance, EnclaveInstance.series_uid == EnclaveSeries.uid)
            .group_by(EnclaveSeries.uid)
            .having(func.count() == 16)
        )
    browser = lab.face.browser("radiologist")
    page = browser.get(f"/enclave/{study}?series={series}")
    assert "holds 2 volumes at one place" in words_of(page) and "2: echo 80" in words_of(page)
    here = f"/enclave/{study}/{series}/volume.nii.gz"
    assert f'data-volume="{here}?volume=1"' in page.text
    assert f'data-volume="{here}?volume=2"' in browser.get(f"/enclave/{study}?series={series}&volume=2").text
    for number, sent in ((1, first), (2, second)):
        shown = read_file(browser.get(f"{here}?volume={number}").content, NIFTI_GZ)
        np.testing.assert_array_equal(shown.array, read_volume(sent).array)
    refused = browser.get(here)
    assert refused.status_code == 409 and "2 volumes at one place, which differ in echo" in words_of(refused)
    for none_such in ("0", "3", "x"):
        assert browser.get(f"{here}?volume={none_such}").status_code in (404, 409)

    def dies(died: WorkerDied) -> Callable[..., object]:
        def call(*_: object) -> object:
            raise died

        return call

    for died, why in ((WorkerDied("died"), "it may lack memory"), (WorkerTooSlow("slow"), "took longer than 120 s")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lab.node.desk.volumes, "call_within", dies(died))
            page = browser.get(f"/enclave/{study}?series={series}")
        assert page.status_code == 200 and "data-volume" not in page.text
        assert (
            "can't be shown now" in words_of(page) and why in words_of(page) and "1 series of images" in words_of(page)
        )
