"""The page on a finding: a PDF that other programs read, with the banner, and with nobody's name."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.front_door import studies
from tests.unit.node.report.finding_lab import FINDING

from wardround.dicom.page import Line, write_page
from wardround.dicom.summary import write_summary
from wardround.node.clinic.definition import Summary
from wardround.node.report.document import DICOM
from wardround.node.report.making import reports_of
from wardround.node.report.record import from_bytes

GHOSTSCRIPT = shutil.which("gs")
PICTURE = np.zeros((8, 8, 3), np.uint8)
BANNER = "TRIAGE: not for diagnostic use"


def text_of(pdf: bytes, folder: Path) -> str:
    """What Ghostscript reads on the page; it fails on a file that isn't whole."""
    file = folder / "page.pdf"
    file.write_bytes(pdf)
    asked = [GHOSTSCRIPT or "", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=txtwrite", "-sOutputFile=-", file]
    read = subprocess.run(asked, capture_output=True, check=True)
    assert b"error" not in read.stderr.lower() and b"repaired" not in read.stdout, read.stderr
    return read.stdout.decode()


def document(banner: str = BANNER) -> pydicom.Dataset:
    slices = [pydicom.dcmread(BytesIO(part10)) for part10 in studies(3)[0].slices]
    mask = np.ones((4, 16, 16), dtype=bool)
    return pydicom.dcmread(
        BytesIO(write_summary(slices, mask, replace(FINDING, banner=banner), sop_instance_uid="1.2"))
    )


@pytest.mark.skipif(GHOSTSCRIPT is None, reason="Ghostscript is not installed")
def test_the_page_tells_what_was_found_by_which_model_under_the_banner_and_of_nobody(tmp_path: Path) -> None:
    ds = document()
    text = text_of(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength], tmp_path)
    by = FINDING.made_by
    for said in (BANNER, FINDING.words, by.name, by.version, by.digest, "verified by nobody"):
        assert said in " ".join(text.split()), said
    for one in FINDING.measurements:
        assert f"{one.concept.meaning}: {one.value:.6g} {one.unit.value}" in text
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "PatientBirthDate"):
        assert str(ds.get(keyword)) not in text


def test_the_document_is_filed_under_its_study_and_says_that_nobody_verified_it() -> None:
    ds = document()
    source = pydicom.dcmread(BytesIO(studies(3)[0].slices[0]))
    assert (ds.Modality, ds.VerificationFlag, ds.BurnedInAnnotation) == ("DOC", "UNVERIFIED", "NO")
    assert (ds.PatientID, ds.StudyInstanceUID) == (source.PatientID, source.StudyInstanceUID)
    assert ds.DocumentTitle.startswith(BANNER) and "not for diagnostic use" not in str(document("").DocumentTitle)


def test_the_same_finding_gives_the_same_page() -> None:
    assert document().EncapsulatedDocument == document().EncapsulatedDocument


@pytest.mark.parametrize(("summary", "kinds"), [("picture", ["sr", "capture"]), ("pdf", ["sr", "pdf"])])
def test_a_pathway_has_one_of_the_two_beside_its_measurements(summary: Summary, kinds: list[str]) -> None:
    slices = [pydicom.dcmread(BytesIO(part10)) for part10 in studies(3)[0].slices]
    documents = reports_of(slices, None, None, FINDING, summary)
    assert [one.kind for one in documents if one.kind in DICOM] == kinds
    made = [one.modality for one in from_bytes(documents[-1].data).made]
    assert made == ["SR", "DOC" if summary == "pdf" else "OT"]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=400), st.integers(1, 40), st.integers(1, 40))
def test_whatever_is_written_the_page_is_whole(text: str, rows: int, columns: int) -> None:
    pdf = write_page(text, [Line(text, 14, bold=True)], np.zeros((rows, columns, 3), np.uint8), [Line(text)])
    table = int(pdf.rpartition(b"startxref\n")[2].split()[0])
    places = [int(line.split()[0]) for line in pdf[table:].split(b"\n")[3:11]]
    assert pdf[table:].startswith(b"xref")
    assert all(pdf[place:].startswith(b"%d 0 obj" % number) for number, place in enumerate(places, start=1))


@pytest.mark.skipif(GHOSTSCRIPT is None, reason="Ghostscript is not installed")
def test_brackets_and_letters_of_other_scripts_break_nothing(tmp_path: Path) -> None:
    text = text_of(write_page("t", [Line("a (b\\) c) Müller — 山田")], PICTURE, [Line("end")]), tmp_path)
    assert "a (b\\) c) Müller" in text and "??" in text and "end" in text
