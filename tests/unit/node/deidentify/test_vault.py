"""The vault: sealed, bound to its key and its rows, opened on the record."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.front_door import FrontDoor, studies

from wardround.demo.identities import Canaries
from wardround.foundation.errors import NotFound
from wardround.node.audit import Audit
from wardround.node.deidentify.vault import Vault, VaultLocked


def reopened(door: FrontDoor) -> Vault:
    door.vault.close()
    return Vault(door.home / "vault", door.home / "identity" / "vault.key", audit=door.database, clock=door.clock)


@pytest.fixture
def door(tmp_path: Path):  # type: ignore[no-untyped-def]  # a fixture of two lines
    made = FrontDoor(tmp_path)
    made.vault.remember([made.deidentify(part10) for study in studies(2, canaries=True) for part10 in study.slices])
    yield made
    made.close()


@pytest.fixture
def pseudonym(door: FrontDoor) -> str:
    return door.deidentify(studies(2, canaries=True)[0].slices[0]).pseudonym


def test_it_knows_who_is_behind_a_pseudonym(door: FrontDoor, pseudonym: str) -> None:
    one = door.deidentify(studies(2, canaries=True)[0].slices[0])
    who = door.vault.reveal(pseudonym, actor="person:Dr Aster", reason="an incidental finding")
    assert (who.name, who.patient_id, who.birth_date) == (
        one.identity.name,
        one.identity.patient_id,
        one.identity.birth_date,
    )
    assert who.studies == {one.study_uid: one.identity.study_uid}
    assert who.series == {one.series_uid: one.identity.series_uid}
    assert who.instances[one.sop_uid] == one.identity.sop_uid
    assert len(who.instances) == 4
    assert who.accession_numbers == {one.study_uid: one.identity.accession_number}
    assert who.name not in repr(who)


def test_each_opening_is_in_the_audit_before_it_happens(door: FrontDoor, pseudonym: str) -> None:
    door.vault.reveal(pseudonym, actor="person:Dr Aster", reason="an incidental finding")
    with pytest.raises(NotFound):
        door.vault.reveal("WR-NOBODY", actor="person:Dr Brook", reason="curiosity")
    with pytest.raises(ValueError, match="reason"):
        door.vault.reveal(pseudonym, actor="person:Dr Brook", reason=" ")
    with door.database.reading() as session:
        rows = [(row.actor, row.verb, row.subject, row.detail) for row in session.scalars(select(Audit))]
    assert rows == [
        ("person:Dr Aster", "open-vault", pseudonym, "an incidental finding"),
        ("person:Dr Brook", "open-vault", "WR-NOBODY", "curiosity"),
    ]


def test_its_files_show_no_identity_and_are_its_owners_alone(door: FrontDoor) -> None:
    files = [file for file in (*door.home.glob("vault*"), door.home / "identity" / "vault.key") if file.is_file()]
    assert len(files) >= 2
    for file in files:
        assert Canaries().found_in(file.read_bytes()) == []
        assert file.stat().st_mode & 0o077 == 0


def test_remembering_again_changes_nothing_but_a_newer_name(door: FrontDoor, pseudonym: str) -> None:
    one = door.deidentify(studies(2, canaries=True)[0].slices[0])
    before = door.vault.reveal(pseudonym, actor="program", reason="test")
    nameless = replace(one.identity, name="", accession_number="")
    door.vault.remember([one, replace(one, identity=nameless)])
    assert door.vault.reveal(pseudonym, actor="program", reason="test") == before
    married = replace(one, identity=replace(one.identity, name="NEW^NAME"))
    door.vault.remember([married])
    assert door.vault.reveal(pseudonym, actor="program", reason="test").name == "NEW^NAME"


def test_it_opens_after_a_restart(door: FrontDoor, pseudonym: str) -> None:
    before = door.vault.reveal(pseudonym, actor="program", reason="test")
    assert reopened(door).reveal(pseudonym, actor="program", reason="test") == before


def test_another_key_is_noticed_before_anything_is_written(door: FrontDoor) -> None:
    key = door.home / "identity" / "vault.key"
    key.write_bytes(bytes(32))
    with pytest.raises(VaultLocked, match="not this vault's"):
        reopened(door)
    key.unlink()
    with pytest.raises(VaultLocked, match="can't be read"):
        reopened(door)
    assert not key.exists(), "a vault that is there gets no new key"


def test_a_row_that_was_moved_to_another_pseudonym_does_not_open(door: FrontDoor, pseudonym: str) -> None:
    door.vault.close()
    connection = sqlite3.connect(door.home / "vault")
    connection.execute(
        "UPDATE vault_entries SET (nonce, sealed) = (SELECT nonce, sealed FROM vault_entries o WHERE o.kind='patient' "
        "AND o.pseudonym <> ?) WHERE kind = 'patient' AND pseudonym = ?",
        (pseudonym, pseudonym),
    )
    connection.commit()
    connection.close()
    with pytest.raises(VaultLocked, match="was changed"):
        reopened(door).reveal(pseudonym, actor="program", reason="test")
