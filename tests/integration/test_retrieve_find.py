"""C-FIND against a real Orthanc, cross-checked with dcmtk's findscu."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import date
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from tests import orthanc
from tests.front_door import studies

from wardround.demo.patients import StudyInstances
from wardround.dicom.errors import AssociationRefused, PeerUnreachable
from wardround.dicom.network import Peer
from wardround.dicom.network_query import QueryRoot, instances_at, series_at, studies_at

pytestmark = pytest.mark.skipif(not orthanc.INSTALLED, reason="Orthanc isn't installed (Debian: orthanc)")
FINDSCU = Path("/usr/bin/findscu")


def relabelled(study: StudyInstances, **values: str) -> list[bytes]:
    """The study's objects with other values in their headers, in UTF-8."""
    objects = []
    for part10 in (*study.slices, study.segmentation):
        ds = pydicom.dcmread(BytesIO(part10))
        ds.SpecificCharacterSet = "ISO_IR 192"
        for keyword, value in values.items():
            setattr(ds, keyword, value)
        buffer = BytesIO()
        ds.save_as(buffer)
        objects.append(buffer.getvalue())
    return objects


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    with orthanc.running(tmp_path_factory.mktemp("pacs"), {"WARDROUND": orthanc.free_port()}) as started:
        first, second, third = studies(3)
        started.take(relabelled(first, AccessionNumber="A1", PatientID="P1", StudyDate="20250110"))
        started.take(relabelled(second, AccessionNumber="A11", PatientID="Pé2", StudyDate="20250220"))
        started.take(relabelled(third, AccessionNumber="a1", PatientID="P1", StudyDate="20250330"))
        yield started


@pytest.fixture
def peer(pacs: orthanc.Orthanc) -> Peer:
    return Peer("127.0.0.1", pacs.port, pacs.title)


@pytest.mark.parametrize("root", list(QueryRoot))
def test_an_accession_finds_its_one_study_with_the_count_that_the_pacs_states(peer: Peer, root: QueryRoot) -> None:
    [study] = studies_at(peer, "WARDROUND", accession=" A1 ", root=root)
    assert (study.accession, study.patient_id, study.study_date) == ("A1", "P1", date(2025, 1, 10))
    assert (study.series, study.instances) == (2, 5)
    assert set(study.modalities) == {"MR", "SEG"}
    assert "A1" not in repr(study)
    assert study.study_uid not in repr(study)


def test_keys_narrow_together(peer: Peer) -> None:
    def accessions(**keys: object) -> list[str]:
        return sorted(study.accession for study in studies_at(peer, "WARDROUND", **keys))  # type: ignore[arg-type]

    assert accessions(patient_id="P1") == ["A1", "a1"]
    assert accessions(patient_id="P1", dates=(date(2025, 3, 1), None)) == ["a1"]
    assert accessions(dates=(None, date(2025, 2, 20))) == ["A1", "A11"]
    assert accessions(patient_id="Pé2") == ["A11"]
    assert accessions(patient_id="P1", modality="CT") == []
    assert accessions(accession="A1", patient_id="nobody") == []


def test_series_and_instances_are_those_that_findscu_sees(pacs: orthanc.Orthanc, peer: Peer) -> None:
    [study] = studies_at(peer, "WARDROUND", accession="A11")
    series = series_at(peer, "WARDROUND", study.study_uid)
    counts = {one.modality: one.instances for one in series}
    assert counts == {"MR": 4, "SEG": 1}
    mr = next(one for one in series if one.modality == "MR")
    found = {one.sop_uid for one in instances_at(peer, "WARDROUND", study.study_uid, mr.series_uid)}
    assert len(found) == 4
    if not FINDSCU.exists():
        pytest.skip("dcmtk isn't installed (Debian: dcmtk)")
    keys = ["QueryRetrieveLevel=IMAGE", f"StudyInstanceUID={study.study_uid}", f"SeriesInstanceUID={mr.series_uid}"]
    told = subprocess.run(
        [FINDSCU, "-S", "-aet", "WARDROUND", "-aec", pacs.title, "127.0.0.1", str(pacs.port)]
        + [part for key in [*keys, "SOPInstanceUID"] for part in ("-k", key)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"TCP_NODELAY": "1"},
    )
    assert set(re.findall(r"\(0008,0018\) UI \[([0-9.]+)", told.stdout + told.stderr)) == found


def test_a_title_that_the_pacs_does_not_know_and_a_pacs_that_is_away_are_told_apart(peer: Peer) -> None:
    with pytest.raises(AssociationRefused):
        studies_at(peer, "STRANGER", accession="A1")
    with pytest.raises(AssociationRefused, match="title called"):
        studies_at(Peer(peer.host, peer.port, "OTHERPACS"), "WARDROUND", accession="A1")
    with pytest.raises(PeerUnreachable):
        studies_at(Peer("127.0.0.1", orthanc.free_port(), "GONE"), "WARDROUND", accession="A1")
