"""What QIDO-RS finds: matching by value, list, wild card and range; pages of answers; studies, series, instances."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from tests.web_lab import Web, segmentation, slices

STUDIES, SERIES, OBJECT = "0020000D", "0020000E", "00080018"


class Shelf:
    """Two patients' studies, of five objects each; the first study's attributes as a search gives them."""

    def __init__(self, web: Web) -> None:
        self.web = web
        for index in range(2):
            web.hold([*slices(index), segmentation(index)])
        self.all = web.get("/studies").json()
        self.uids = [one[STUDIES]["Value"][0] for one in self.all]
        self.first = {tag: value["Value"][0] for tag, value in self.all[0].items() if value.get("Value")}
        self.day = date.fromisoformat(self.first["00080020"])

    def found(self, path: str = "/studies", tag: str = STUDIES, **keys: str) -> list[str]:
        answer = self.web.get(path, **keys)
        if answer.status_code == 204:
            assert answer.content == b""
            return []
        assert answer.status_code == 200, answer.text
        return [one[tag]["Value"][0] for one in answer.json()]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    web = Web(tmp_path_factory.mktemp("web"))
    yield Shelf(web)
    web.close()


def test_studies_are_found_by_value_list_and_wild_card(shelf: Shelf) -> None:
    mine = [shelf.uids[0]]
    patient = shelf.first["00100020"]
    assert len(shelf.uids) == 2
    for keys in (
        {"StudyInstanceUID": mine[0]},
        {"0020000D": mine[0]},
        {"PatientID": patient},
        {"PatientID": patient[:-2] + "*"},
        {"PatientID": "?" * 3 + patient[3:]},
        {"PatientName": patient.lower()},
    ):
        assert shelf.found(**keys) == mine, keys
    assert sorted(shelf.found(StudyInstanceUID=",".join(shelf.uids))) == sorted(shelf.uids)
    assert sorted(shelf.found(PatientID="WR-*")) == sorted(shelf.uids)
    assert shelf.found(PatientID=patient[:-2]) == shelf.found(PatientID="%") == shelf.found(PatientID="[A-Z]*") == []


def test_dates_are_ranges_with_both_ends_included(shelf: Shelf) -> None:
    def near(days: int) -> str:
        return f"{shelf.day + timedelta(days=days):%Y%m%d}"

    mine = shelf.uids[0]
    for dates in (near(0), f"{near(0)}-{near(0)}", f"{near(0)}-", f"-{near(0)}", f"{near(-1)}-{near(1)}"):
        assert mine in shelf.found(StudyDate=dates), dates
    for dates in (f"{near(1)}-", f"-{near(-1)}", f"{near(1)}-{near(2)}", f"{near(1)}-{near(-1)}", near(1)):
        assert mine not in shelf.found(StudyDate=dates), dates
    assert mine in shelf.found(StudyDate=near(0), StudyTime="0000-2359")


def test_modalities_of_a_study_and_of_a_series_are_told_apart(shelf: Shelf) -> None:
    mine = shelf.uids[0]
    assert sorted(shelf.found(ModalitiesInStudy="SEG")) == sorted(shelf.uids)
    assert shelf.found(ModalitiesInStudy="CT") == []
    [mr] = shelf.found(f"/studies/{mine}/series", SERIES, Modality="MR")
    [seg] = shelf.found(f"/studies/{mine}/series", SERIES, Modality="S*")
    assert mr != seg
    assert len(shelf.found("/series", SERIES)) == 4
    assert shelf.found("/series", SERIES, SeriesInstanceUID=mr, StudyInstanceUID=shelf.uids[1]) == []


def test_instances_are_found_in_all_in_a_study_and_in_a_series(shelf: Shelf) -> None:
    mine = shelf.uids[0]
    [mr] = shelf.found(f"/studies/{mine}/series", SERIES, Modality="MR")
    assert len(shelf.found("/instances", OBJECT)) == 10
    assert len(shelf.found(f"/studies/{mine}/instances", OBJECT)) == 5
    four = shelf.found(f"/studies/{mine}/series/{mr}/instances", OBJECT)
    assert len(four) == 4
    assert shelf.found("/instances", OBJECT, InstanceNumber="2", SeriesInstanceUID=mr) == [four[1]]
    assert shelf.found("/instances", OBJECT, SOPInstanceUID=four[2]) == [four[2]]
    assert shelf.found(f"/studies/{shelf.uids[1]}/series/{mr}/instances", OBJECT) == []


def test_pages_cover_everything_once_and_say_where_there_is_more(shelf: Shelf) -> None:
    whole = shelf.found("/instances", OBJECT)
    pages = [shelf.found("/instances", OBJECT, limit="4", offset=str(start)) for start in (0, 4, 8, 12)]
    assert [len(page) for page in pages] == [4, 4, 2, 0]
    assert [one for page in pages for one in page] == whole
    assert "offset" in shelf.web.get("/instances", limit="4").headers["warning"]
    assert "warning" not in shelf.web.get("/instances", limit="10").headers
    assert shelf.found(limit="0") == []


def test_what_is_asked_for_is_returned_and_no_more(shelf: Shelf) -> None:
    [plain] = shelf.web.get("/studies", StudyInstanceUID=shelf.uids[0]).json()
    [more] = shelf.web.get("/studies", StudyInstanceUID=shelf.uids[0], includefield="PatientAge,00120062").json()
    assert set(more) - set(plain) == {"00101010", "00120062"}
    [everything] = shelf.web.get("/studies", StudyInstanceUID=shelf.uids[0], includefield="all").json()
    assert set(more) < set(everything)
    assert plain["00081190"]["Value"] == [f"{shelf.web.url}/studies/{shelf.uids[0]}"]
    assert (plain["00201206"]["Value"], plain["00201208"]["Value"]) == ([2], [5])
    assert plain["00080061"]["Value"] == ["MR", "SEG"]


@pytest.mark.parametrize(
    "keys",
    [
        {"NoSuchThing": "1"},
        {"PatientID.0": "1"},
        {"limit": "-1"},
        {"limit": "many"},
        {"offset": "1.5"},
        {"includefield": "Nonsense"},
        {"PixelData": "1"},
        {"PatientID": "x" * 5000},
    ],
)
def test_a_search_that_cannot_be_understood_is_refused_without_repeating_it(shelf: Shelf, keys: dict[str, str]) -> None:
    answer = shelf.web.get("/studies", **keys)
    assert answer.status_code == 400
    assert not any(value in answer.text for value in keys.values() if len(value) > 3)


def test_a_search_goes_by_accept(shelf: Shelf) -> None:
    assert shelf.web.get("/studies", "text/html").status_code == 406
    assert shelf.web.get("/studies?accept=application/json", "text/html").status_code == 200
    assert shelf.web.get("/studies", "application/json").headers["content-type"] == "application/json"
    warned = shelf.web.get("/studies", fuzzymatching="true")
    assert "fuzzymatching" in warned.headers["warning"]
