"""An entry has one form in bytes; whatever reads otherwise is refused."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import (
    Aggregate,
    Approval,
    Departure,
    Deployment,
    Entry,
    EntryUnreadable,
    Evidence,
    Founding,
    Manifest,
    Member,
    Model,
    Promotion,
    Purge,
    Refusal,
    Reidentification,
    Seen,
    SignedEntry,
    Suspension,
    Update,
    Use,
    Withdrawal,
    entry_bytes,
    read_signed_entry,
)
from wardround.ledger.envelope import is_signed_by, sign_entry

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
LEDGER = "hub.example.org/ledger"
NOON = datetime(2026, 11, 23, 12, 0, 5, 999_999, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4
SITE = {"origin": "north", "at": NOON}
BY_HUB = {"origin": "hub", "at": NOON}

ENTRIES: list[Entry] = [
    Member(**BY_HUB, site="north", entry_key=b64encode(PUBLIC).decode(), witness="north+00000000+AAAA"),
    Approval(**SITE, project="glioma", project_digest=DIGEST, until=NOON),
    Refusal(**SITE, project="glioma", project_digest=DIGEST, reason="cohort-too-small"),
    Withdrawal(**SITE, project="glioma", approval=3, reason="opt-out"),
    Manifest(**SITE, project="glioma", approval=3, people=Count(about=25), commitment=DIGEST),
    Update(**SITE, run="run-1", round=3, digest=DIGEST, manifest=4, steps=200),
    Aggregate(**BY_HUB, run="run-1", round=3, digest=DIGEST, updates=(5, 6, 7)),
    Model(**BY_HUB, digest=DIGEST, run="run-1", best_round=3, metrics={"north": {"dice": 0.1 + 0.2, "n": 1.0}}),
    Evidence(**SITE, model=DIGEST, pathway="brain-mr", stage="offline", record=DIGEST),
    Deployment(**SITE, model=DIGEST, pathway="brain-mr", stage="shadow"),
    Founding(**BY_HUB, faults=1),
    Departure(**BY_HUB, site="north", reason="revoked"),
    Use(**SITE, run="run-1", purpose="training", round=3, manifest=4, seen=Seen(size=4, root=DIGEST)),
    Use(**SITE, run="run-1", purpose="preparation", manifest=4),
    Use(**SITE, run="run-1", purpose="judging", model=DIGEST, manifest=4),
    Update(**SITE, run="run-1", round=3, digest=DIGEST, manifest=4, use=5, steps=200),
    Evidence(**SITE, model=DIGEST, pathway="brain-mr", stage="offline", record=DIGEST, use=5),
    Promotion(**SITE, model=DIGEST, pathway="brain-mr", stage="triage", evidence=(3, 9)),
    Suspension(**SITE, model=DIGEST, pathway="brain-mr", stage="withdrawn", reason="drift"),
    Reidentification(**SITE, reason="incidental-finding", people=Count(about=None), record=DIGEST),
    Purge(**SITE, reason="erasure-asked", people=Count(about=15), manifests=(4,)),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind)
def test_each_kind_reads_back_as_it_was_signed(entry: Entry) -> None:
    data = sign_entry(entry, KEY, LEDGER)
    signed = read_signed_entry(data)
    assert signed.entry == entry
    assert signed.canonical() == data
    assert is_signed_by(signed, PUBLIC, LEDGER)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.kind)
def test_the_quick_way_writes_what_rfc_8785_asks_for(entry: Entry) -> None:
    signed = read_signed_entry(sign_entry(entry, KEY, LEDGER))
    assert signed.canonical() == rfc8785.dumps(signed.model_dump(mode="json"))
    assert entry_bytes(signed.canonical()) == entry.canonical() == rfc8785.dumps(entry.model_dump(mode="json"))


@given(st.text().filter(lambda text: not any("\ud800" <= mark <= "\udfff" for mark in text)), st.integers(0, 2**53 - 1))
def test_the_quick_way_writes_any_text_and_index_so(text: str, index: int) -> None:
    entry = Update.model_construct(**SITE, nonce="0" * 32, run=text, round=index, digest=text, manifest=index, steps=0)
    signed = SignedEntry.model_construct(entry=entry, key=text, signature="")
    assert signed.canonical() == rfc8785.dumps(signed.model_dump(mode="json"))


def test_an_integer_that_no_double_holds_is_refused() -> None:
    entry = Manifest(**SITE, project="glioma", approval=3, people=Count(about=25), commitment=DIGEST)
    data = sign_entry(entry, KEY, LEDGER).replace(b'"about":25', b'"about":9007199254740995')
    with pytest.raises(EntryUnreadable) as refused:
        read_signed_entry(data)
    assert refused.value.code == "not-canonical"


def test_nothing_seen_is_written_in_one_way_only() -> None:
    data = sign_entry(ENTRIES[1], KEY, LEDGER)
    assert b"seen" not in data
    with pytest.raises(EntryUnreadable) as refused:
        read_signed_entry(data.replace(b'"until"', b'"seen":null,"until"'))
    assert refused.value.code == "not-canonical"


def test_times_are_written_in_utc_to_the_second() -> None:
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    entry = Approval(origin="north", at=local, project="glioma", project_digest=DIGEST)
    assert json.loads(sign_entry(entry, KEY, LEDGER))["entry"]["at"] == "2026-11-23T12:00:05Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        Approval(origin="north", at=NOON.replace(tzinfo=None), project="glioma", project_digest=DIGEST)


def test_a_signature_holds_in_its_own_ledger_only() -> None:
    signed = read_signed_entry(sign_entry(ENTRIES[1], KEY, LEDGER))
    assert not is_signed_by(signed, PUBLIC, "other.example.org/ledger")


def _edited(**changes: Any) -> bytes:
    """The signed update with changes to its entry, written canonically."""
    document = json.loads(sign_entry(ENTRIES[5], KEY, LEDGER))
    document["entry"].update(changes)
    return rfc8785.dumps(document)


ORIGINAL = sign_entry(ENTRIES[5], KEY, LEDGER)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-an-entry"),
        (b"null", "not-an-entry"),
        (b"\xff\xfe", "not-an-entry"),
        (b"[" * 60_000, "not-an-entry"),
        (b" " * 70_000, "too-large"),
        (ORIGINAL + b"\n", "not-canonical"),
        (ORIGINAL.replace(b":", b": ", 1), "not-canonical"),
        (ORIGINAL.replace(b'"round":3', b'"round":3.0'), "not-canonical"),
        (ORIGINAL.replace(b'"round":3', b'"round":3e0'), "not-canonical"),
        (ORIGINAL.replace(b'"round":3', b'"round":"3"'), "not-canonical"),
        (ORIGINAL.replace(b'"round":3', b'"round":9,"round":3'), "not-canonical"),
        (ORIGINAL.replace(b'"run":"run-1"', b'"run":"run\\u002d1"'), "not-canonical"),
        (ORIGINAL.replace(b"05Z", b"05.5Z"), "not-canonical"),
        (ORIGINAL.replace(b"12:00:05Z", b"13:00:05+01:00"), "not-canonical"),
        (_edited(comment="patient Smith"), "not-an-entry"),
        (_edited(kind="poem"), "not-an-entry"),
        (_edited(origin="North Hospital"), "not-an-entry"),
        (_edited(steps=-1), "not-an-entry"),
        (_edited(digest=DIGEST.upper()), "not-an-entry"),
        (_edited(nonce=""), "not-an-entry"),
    ],
)
def test_other_bytes_are_refused(data: bytes, code: str) -> None:
    assert data != ORIGINAL
    with pytest.raises(EntryUnreadable) as refused:
        read_signed_entry(data)
    assert refused.value.code == code


@pytest.mark.parametrize("missing", ["nonce", "kind", "at", "steps"])
def test_a_missing_key_is_refused_even_where_it_has_a_default(missing: str) -> None:
    document = json.loads(ORIGINAL)
    del document["entry"][missing]
    with pytest.raises(EntryUnreadable):
        read_signed_entry(rfc8785.dumps(document))


@pytest.mark.parametrize("value", [b"1e400", b"NaN", b"Infinity", b"0.30000000000000001", b"-0.0", b"1E-1"])
def test_numbers_that_have_another_spelling_or_no_value_are_refused(value: bytes) -> None:
    data = sign_entry(ENTRIES[7], KEY, LEDGER).replace(b"0.30000000000000004", value)
    with pytest.raises(EntryUnreadable):
        read_signed_entry(data)


def test_an_aggregate_names_each_update_once_in_rising_order() -> None:
    for updates in ((), (3, 3), (4, 3)):
        with pytest.raises(ValidationError):
            Aggregate(**BY_HUB, run="run-1", round=1, digest=DIGEST, updates=updates)


def test_an_entry_too_large_to_be_taken_is_not_signed() -> None:
    sites = {f"site-{number}": {"dice": 0.5} for number in range(5000)}
    with pytest.raises(EntryUnreadable) as refused:
        sign_entry(Model(**BY_HUB, digest=DIGEST, run="run-1", best_round=1, metrics=sites), KEY, LEDGER)
    assert refused.value.code == "too-large"


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(EntryUnreadable):
        read_signed_entry(data)


@given(st.data())
def test_a_flipped_bit_is_unreadable_or_fails_its_signature(draw: st.DataObject) -> None:
    data = bytearray(ORIGINAL)
    data[draw.draw(st.integers(0, len(data) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        signed = read_signed_entry(bytes(data))
    except EntryUnreadable:
        return
    assert not is_signed_by(signed, PUBLIC, LEDGER)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_metric_survives(value: float) -> None:
    entry = Model(**BY_HUB, digest=DIGEST, run="run-1", best_round=1, metrics={"north": {"dice": value}})
    read = read_signed_entry(sign_entry(entry, KEY, LEDGER)).entry
    assert isinstance(read, Model)
    assert read.metrics["north"]["dice"] == value
