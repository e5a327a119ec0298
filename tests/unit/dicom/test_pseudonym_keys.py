"""Pseudonyms: stable at a site, unlinkable between sites, and valid DICOM."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.dicom.pseudonym import PseudonymKeys

HERE = PseudonymKeys(b"0123456789abcdef0123456789abcdef")
THERE = PseudonymKeys(b"0123456789abcdef0123456789abcdeg")
texts = st.text(min_size=1, max_size=64)


@given(texts, texts)
def test_a_patient_keeps_one_pseudonym_at_a_site_and_has_another_elsewhere(patient: str, issuer: str) -> None:
    pseudonym = HERE.patient(patient, issuer)
    assert re.fullmatch(r"WR-[A-Z2-7]{16}", pseudonym)
    again = PseudonymKeys(b"0123456789abcdef0123456789abcdef")
    assert again.patient(patient, issuer) == pseudonym
    assert THERE.patient(patient, issuer) != pseudonym


def test_patients_of_two_issuers_and_shifted_boundaries_are_told_apart() -> None:
    names = {
        HERE.patient("1", "A"),
        HERE.patient("1", "B"),
        HERE.patient("1"),
        HERE.patient("1A"),
        HERE.patient("", "1A"),
    }
    assert len(names) == 5


def test_padding_does_not_make_another_patient() -> None:
    assert HERE.patient("4711 ", " A") == HERE.patient("4711", "A")


@given(st.text("0123456789.", min_size=1, max_size=64))
def test_new_uids_are_valid_uuid_derived_and_stable(original: str) -> None:
    uid = HERE.uid(original)
    assert re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", uid)
    made = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert made.version == 8
    assert made.variant == uuid.RFC_4122
    assert HERE.uid(original + "\0") == uid
    assert THERE.uid(original) != uid


@given(texts)
def test_dates_move_one_to_ten_years_into_the_past(patient: str) -> None:
    assert -3650 <= HERE.days(patient) <= -365


def test_patients_move_by_different_days() -> None:
    assert len({HERE.days(str(number)) for number in range(200)}) > 150


def test_a_short_secret_is_refused_with_the_mend() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        PseudonymKeys(b"short")


@given(texts, texts)
def test_each_project_sees_other_pseudonyms_and_each_sees_its_own_again(one: str, other: str) -> None:
    pseudonym, uid = HERE.patient("4711"), HERE.uid("1.2.3")
    first, second = HERE.for_project(one), HERE.for_project(other)
    assert re.fullmatch(r"WP-[A-Z2-7]{16}", first.patient(pseudonym))
    assert first.patient(pseudonym) == HERE.for_project(one).patient(pseudonym)
    assert (first.patient(pseudonym) == second.patient(pseudonym)) == (one == other)
    assert (first.uid(uid) == second.uid(uid)) == (one == other)
    assert first.uid(uid) not in (uid, HERE.uid(uid))
    assert THERE.for_project(one).patient(pseudonym) != first.patient(pseudonym)


def test_a_project_keeps_the_uids_of_the_standard_and_has_to_be_named() -> None:
    project = HERE.for_project("glioma")
    assert project.uid("1.2.840.10008.5.1.4.1.1.4") == "1.2.840.10008.5.1.4.1.1.4"
    assert re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", project.uid("2.25.1"))
    with pytest.raises(ValueError, match="name"):
        HERE.for_project("")
