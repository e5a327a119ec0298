"""The same objects in our enclave and in Orthanc with its DICOMweb plug-in: the same is found, and the same is got."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import RLELossless
from tests import orthanc
from tests.web_lab import Web, enlarged, segmentation, slices

pytestmark = pytest.mark.skipif(
    not orthanc.INSTALLED or not orthanc.DICOMWEB.exists(),
    reason="Orthanc with its DICOMweb plug-in isn't installed (Debian: orthanc, orthanc-dicomweb)",
)
COMPARED = (
    "00080016", "00080018", "00080020", "00080060", "00100020", "00100040", "0020000D", "0020000E", "00200013",
    "00280010", "00280011", "00280100", "00120062",
)  # fmt: skip


class Pair:
    def __init__(self, web: Web, pacs: orthanc.Orthanc) -> None:
        self.ours = web.client(web.read)
        self.theirs = DICOMwebClient(pacs.dicomweb)

    def search(self, level: str, **query: Any) -> tuple[set[str], set[str]]:
        """UIDs of the level that both find."""
        tag = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}[level]
        return tuple(  # type: ignore[return-value]
            {one[tag]["Value"][0] for one in getattr(client, f"search_for_{level}")(**query)}
            for client in (self.ours, self.theirs)
        )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    web = Web(tmp_path_factory.mktemp("web"))
    first = slices()
    enlarged(first[0])
    first[0].compress(RLELossless, generate_instance_uid=False)
    web.hold([*first, segmentation(), *slices(1), *slices(2)])
    with orthanc.running(tmp_path_factory.mktemp("pacs"), {}) as pacs:
        for address in web.instances():
            study, _, series, _, instance = address.split("/studies/")[1].split("/")
            [held] = web.catalogue.instances(study, series, instance)
            pacs.take([held.file.read_bytes()])
        yield Pair(web, pacs)
    web.close()


def test_searches_find_the_same(pair: Pair) -> None:
    studies = pair.ours.search_for_studies()
    patient = studies[0]["00100020"]["Value"][0]
    date = studies[0]["00080020"]["Value"][0]
    queries: list[tuple[str, dict[str, Any]]] = [
        ("studies", {}),
        ("studies", {"search_filters": {"PatientID": patient}}),
        ("studies", {"search_filters": {"StudyDate": date}}),
        ("studies", {"search_filters": {"StudyDate": f"{date}-"}}),
        ("studies", {"search_filters": {"StudyDate": f"-{date}"}}),
        ("studies", {"search_filters": {"ModalitiesInStudy": "SEG"}}),
        ("studies", {"search_filters": {"PatientSex": "F"}}),
        ("series", {"search_filters": {"Modality": "MR"}}),
        ("series", {"study_instance_uid": studies[0]["0020000D"]["Value"][0]}),
        ("instances", {"study_instance_uid": studies[0]["0020000D"]["Value"][0]}),
        ("instances", {"search_filters": {"InstanceNumber": "1"}}),
    ]
    for level, query in queries:
        ours, theirs = pair.search(level, **query)
        assert ours == theirs, (level, query)
    assert pair.search("studies")[0]


def test_metadata_say_the_same(pair: Pair) -> None:
    for study in pair.search("studies")[0]:
        ours, theirs = (
            {one["00080018"]["Value"][0]: one for one in client.retrieve_study_metadata(study)}
            for client in (pair.ours, pair.theirs)
        )
        assert set(ours) == set(theirs)
        for uid in ours:
            for tag in COMPARED:
                assert ours[uid].get(tag, {}).get("Value") == theirs[uid].get(tag, {}).get("Value"), tag
            # Pixels and Available Transfer Syntax UID belong to the answer rather than to the object.
            of_the_object = [
                {tag for tag in one[uid] if tag[:4] != "7FE0" and tag != "00083002"} for one in (ours, theirs)
            ]
            assert of_the_object[0] == of_the_object[1]


def test_objects_and_frames_are_the_same(pair: Pair) -> None:
    for found in pair.ours.search_for_instances(search_filters={"Modality": "MR"}):
        place = (found["0020000D"]["Value"][0], found["0020000E"]["Value"][0], found["00080018"]["Value"][0])
        ours, theirs = (client.retrieve_instance(*place) for client in (pair.ours, pair.theirs))
        assert isinstance(ours, pydicom.Dataset) and isinstance(theirs, pydicom.Dataset)
        np.testing.assert_array_equal(ours.pixel_array, theirs.pixel_array)
        assert [one.tag for one in ours] == [one.tag for one in theirs]
        frames = [
            client.retrieve_instance_frames(*place, [1], media_types=(("application/octet-stream", "*"),))[0]
            for client in (pair.ours, pair.theirs)
        ]
        assert frames[0].rstrip(b"\0") == frames[1].rstrip(b"\0")


def test_what_is_not_there_is_404_at_both(pair: Pair) -> None:
    for client in (pair.ours, pair.theirs):
        with pytest.raises(requests.HTTPError, match="404"):
            client.retrieve_study_metadata("1.2.3.4")
