"""What a PACS of every temper answers, played by pynetdicom, and what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from wardround.dicom import network_query_association, network_query_status
from wardround.dicom.network import Peer
from wardround.dicom.network_query import QueryRoot, single_value, studies_at
from wardround.dicom.network_query_status import (
    Cancelled,
    ConnectionLost,
    DestinationUnknown,
    KeyRefused,
    NotMatching,
    NotServed,
    OutOfResources,
    QueryFailed,
    TooManyAnswers,
    UnableToProcess,
)
from wardround.dicom.network_retrieve import move

Handler = Callable[[Any], Iterator[Any]]


@contextmanager
def playing(handler: Handler, *models: str, event: Any = evt.EVT_C_FIND) -> Iterator[Peer]:
    entity = AE(ae_title="PLAYED")
    for model in models or (StudyRootQueryRetrieveInformationModelFind,):
        entity.add_supported_context(model)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(event, handler)])
    try:
        yield Peer("127.0.0.1", server.server_address[1], "PLAYED")
    finally:
        server.shutdown()


def answer(**values: Any) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = "STUDY"
    for keyword, value in ({"StudyInstanceUID": "1.2.3", "AccessionNumber": "A1", "PatientID": "P"} | values).items():
        setattr(ds, keyword, value)
    return ds


def test_what_was_not_asked_for_is_dropped() -> None:
    def careless(_event: Any) -> Iterator[Any]:
        yield 0xFF00, answer()
        yield 0xFF00, answer(StudyInstanceUID="1.2.4", AccessionNumber="A12")
        yield 0xFF01, answer(StudyInstanceUID="1.2.5", AccessionNumber="")
        yield 0xFF00, answer(StudyInstanceUID="")

    with playing(careless) as peer:
        assert [study.study_uid for study in studies_at(peer, "US", accession="A1")] == ["1.2.3"]


def test_numbers_and_dates_that_are_nonsense_are_none_and_quoted_nowhere(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(_event: Any) -> Iterator[Any]:
        with config.disable_value_validation():
            ds = answer(StudyDate="", PatientBirthDate="19801340", PatientSex="F")
        ds.add_new("NumberOfStudyRelatedInstances", "IS", None)
        yield 0xFF00, ds

    with playing(odd) as peer:
        [study] = studies_at(peer, "US", accession="A1")
    assert (study.instances, study.study_date, study.birth_date, study.sex) == (None, None, None, "F")
    assert not [warned for warned in recwarn if "19801340" in str(warned.message)]
    assert "19801340" not in caplog.text


@pytest.mark.parametrize(
    ("status", "error", "again"),
    [
        (0xA700, OutOfResources, True),
        (0xA900, NotMatching, False),
        (0xC001, UnableToProcess, True),
        (0xFE00, Cancelled, True),
        (0x0122, NotServed, False),
        (0x0124, NotServed, False),
    ],
)
def test_a_failed_query_is_a_named_error_with_its_status(status: int, error: type[QueryFailed], again: bool) -> None:
    def failing(_event: Any) -> Iterator[Any]:
        yield status, None

    with playing(failing) as peer, pytest.raises(error, match=f"0x{status:04X}") as raised:
        studies_at(peer, "US", accession="A1")
    assert (raised.value.status, raised.value.again) == (status, again)


def test_a_pacs_that_has_patient_root_alone_is_asked_in_it() -> None:
    def patient_root(event: Any) -> Iterator[Any]:
        assert event.request.AffectedSOPClassUID == PatientRootQueryRetrieveInformationModelFind
        yield 0xFF00, answer()

    with playing(patient_root, PatientRootQueryRetrieveInformationModelFind) as peer:
        assert len(studies_at(peer, "US", accession="A1")) == 1


def test_a_connection_that_ends_in_the_middle_is_no_short_list() -> None:
    def dying(event: Any) -> Iterator[Any]:
        yield 0xFF00, answer()
        event.assoc.abort()
        yield 0x0000, None

    with playing(dying) as peer, pytest.raises(ConnectionLost):
        studies_at(peer, "US", accession="A1")


def test_a_pacs_that_never_stops_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardround.dicom.network_query.MOST_ANSWERS", 5)

    def endless(_event: Any) -> Iterator[Any]:
        for _ in range(50):
            yield 0xFF00, answer()

    with playing(endless) as peer, pytest.raises(TooManyAnswers):
        studies_at(peer, "US", accession="A1")


def test_silence_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_query_association, "ANSWER_SECONDS", 0.0)

    def silent(event: Any) -> Iterator[Any]:
        while not event.assoc.acse.is_aborted():
            threading.Event().wait(0.01)
        yield 0xFE00, None

    with playing(silent) as peer, pytest.raises(ConnectionLost, match="nothing"):
        studies_at(peer, "US", accession="A1")


def test_a_request_can_be_cancelled() -> None:
    def patient(event: Any) -> Iterator[Any]:
        yield 0xFF00, answer()
        while not event.is_cancelled:
            threading.Event().wait(0.01)
        yield 0xFE00, None

    with playing(patient) as peer, pytest.raises(Cancelled):
        studies_at(peer, "US", accession="A1", cancelled=lambda: True)


def test_an_unknown_destination_is_told_as_such() -> None:
    def unknown(_event: Any) -> Iterator[Any]:
        yield (None, None)

    with (
        playing(unknown, StudyRootQueryRetrieveInformationModelMove, event=evt.EVT_C_MOVE) as peer,
        pytest.raises(DestinationUnknown, match="0xA801"),
    ):
        move(peer, "US", "1.2.3", "NOBODY")


def test_every_failure_status_has_its_error() -> None:
    for status in (*range(0x0105, 0x0214), *range(0xA700, 0xAA00), *range(0xC000, 0xD000), 0xFE00):
        error = network_query_status.failure(status)
        assert error.status == status
        assert error.text[-1] not in ". "


@given(st.text(max_size=70))
def test_a_key_asks_for_itself_alone_or_is_refused(text: str) -> None:
    try:
        value = single_value("PatientID", text)
    except KeyRefused as refused:
        assert text.strip() not in str(refused) or len(text.strip()) < 3
        return
    assert value == text.strip()
    assert 0 < len(value) <= 64
    assert not set(value) & set("*?\\\0\n")


def test_a_question_without_identifier_or_dates_is_refused() -> None:
    with pytest.raises(KeyRefused, match="whole archive"):
        studies_at(Peer("127.0.0.1", 1, "X"), "US", modality="CT", root=QueryRoot.STUDY)
