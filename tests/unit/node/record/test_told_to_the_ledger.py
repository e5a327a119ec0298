"""What is destroyed here, and each look behind a pseudonym, comes to the ledger, whether the hub was up then or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select
from tests.front_door import EVERYONE
from tests.unit.hub.runs.run_lab import project
from tests.unit.node.projects.node_lab import NodeLab

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Entry, Purge, Reidentification
from wardround.contracts.outbound import LedgerSubmission
from wardround.ledger.verification import verify
from wardround.node.audit import Audit
from wardround.node.deidentify.erasure import Erasures
from wardround.node.deidentify.received import Places
from wardround.node.deidentify.relink import look_digest, reidentify
from wardround.node.deidentify.tables import Reidentification as Look
from wardround.node.enclave.purge import Scope, order_purge
from wardround.node.gateway.errors import HubUnreachable
from wardround.node.projects.tables import ManifestRow
from wardround.node.record.purges import MEANWHILE, Purges
from wardround.node.record.studies import study_answer

ASKED = project()
WHO = {"actor": "person:controller", "reason": "request 7"}


@pytest.fixture
def lab(lab: NodeLab) -> NodeLab:
    """A hospital of two patients with a hub beside it."""
    lab.fill()
    return lab


def purge(lab: NodeLab, scope: Scope) -> None:
    with lab.database.writing() as session:
        order_purge(session, scope, Purges(lab.entries, lab.discloser), at=lab.clock(), **WHO)


def told(lab: NodeLab) -> list[Entry]:
    """What the ledger has of this site's purges and looks once what waits was submitted."""
    lab.entries.submit_waiting(lab.database)
    return [entry for entry in lab.ledger() if isinstance(entry, Purge | Reidentification)]


def sound(lab: NodeLab) -> bool:
    with lab.hub.database.reading() as session:
        return not verify(session, lab.hub.log.verifier).problems


def test_a_purge_names_the_frozen_cohorts_that_it_took_from_and_no_study_or_number(lab: NodeLab) -> None:
    lab.agree(ASKED)
    first, second = lab.door.enclave.find(EVERYONE)
    lab.wire.cut = lambda _: "before"
    purge(lab, Scope("patient", first.pseudonym))
    with pytest.raises(HubUnreachable):
        told(lab)
    lab.wire.cut = lambda _: None
    [said] = told(lab)
    assert isinstance(said, Purge)
    assert (said.reason, said.people, said.manifests) == (
        "patient-purged",
        Count(about=None),
        (lab.decision("glioma").manifest_index,),
    )
    assert first.pseudonym.encode() not in said.canonical() and b"request" not in said.canonical()
    with lab.database.reading() as session:
        rows = session.scalars(select(ManifestRow)).all()
        assert sorted((row.study, bool(row.salt)) for row in rows) == [("", False), (second.study, True)]
        lab.catch_up()
        assert study_answer(session, lab.hub.log.verifier, [first.study]).proof is None
    assert sound(lab)


def test_a_purge_that_is_rolled_back_is_not_told_and_one_of_nothing_neither(lab: NodeLab) -> None:
    [first, _] = lab.door.enclave.find(EVERYONE)
    with pytest.raises(RuntimeError), lab.database.writing() as session:
        order_purge(session, Scope("study", first.study), Purges(lab.entries, lab.discloser), at=lab.clock(), **WHO)
        raise RuntimeError
    purge(lab, Scope("study", "1.2.3"))
    assert told(lab) == []


def test_what_was_in_no_frozen_cohort_is_told_of_too(lab: NodeLab) -> None:
    [first, _] = lab.door.enclave.find(EVERYONE)
    purge(lab, Scope("study", first.study))
    [said] = told(lab)
    assert isinstance(said, Purge) and (said.reason, said.manifests) == ("study-purged", ())


def test_a_study_that_goes_while_its_manifest_is_on_its_way_is_told_of_once_that_has_its_place(lab: NodeLab) -> None:
    lab.hub.submit(ASKED)
    lab.consider(ASKED)
    lab.approve("glioma")
    entries = iter(range(9))
    # The approval reaches the hub; the manifest, signed by then, doesn't.
    lab.wire.cut = lambda message: "before" if isinstance(message, LedgerSubmission) and next(entries) else None
    with pytest.raises(HubUnreachable):
        lab.telling.tick()
    [first, _] = lab.door.enclave.find(EVERYONE)
    lab.clock.time += timedelta(seconds=1)
    purge(lab, Scope("patient", first.pseudonym))
    lab.wire.cut = lambda _: None
    lab.telling.tick()
    at_once, late = told(lab)
    assert isinstance(at_once, Purge) and at_once.manifests == ()
    assert isinstance(late, Purge)
    assert (late.reason, late.manifests) == (MEANWHILE, (lab.decision("glioma").manifest_index,))


def test_a_look_behind_a_pseudonym_is_told_of_without_who_and_opened_by_the_site_alone(lab: NodeLab) -> None:
    [first, _] = lab.door.enclave.find(EVERYONE)
    lab.wire.cut = lambda _: "before"
    at = lab.clock()
    reidentify(lab.door.vault, lab.entries, first.pseudonym, code="incidental-finding", at=at, **WHO)
    lab.wire.cut = lambda _: None
    [said] = told(lab)
    assert isinstance(said, Reidentification)
    assert (said.reason, said.people) == ("incidental-finding", Count(about=None))
    text = json.dumps(said.model_dump(mode="json"))
    assert not any(secret in text for secret in (first.pseudonym, "request 7", "controller"))
    with lab.database.reading() as session:
        look = session.scalars(select(Look)).one()
        audited = session.scalars(select(Audit.subject).where(Audit.verb == "open-vault")).all()
    assert audited == [first.pseudonym]
    assert said.record == look_digest(look.salt, first.pseudonym, look.actor, look.reason, look.at)
    assert sound(lab)


class RecordsAlone:
    """Health records of one patient who has no image."""

    def __init__(self) -> None:
        self.there = ["WR-RECORDSALONE"]

    def kept(self, pseudonyms: Sequence[str]) -> int:
        return sum(3 for pseudonym in pseudonyms if pseudonym in self.there)

    def forget(self, pseudonyms: Sequence[str]) -> None:
        self.there = [pseudonym for pseudonym in self.there if pseudonym not in pseudonyms]


def test_an_erasure_of_somebody_with_records_and_no_image_is_told_of_once(lab: NodeLab) -> None:
    lab.agree(ASKED)
    door, records = lab.door, RecordsAlone()
    [known] = records.there
    places = Places(door.quarantine, door.clinical, door.home / "results", door.objects, door.home / "volumes")
    purges = Purges(lab.entries, lab.discloser)
    every = Erasures(lab.database, door.vault, places, purges, bytes(range(32)), lab.clock, records=records)
    for _ in range(2):
        every.order(every.find([known], **WHO), **WHO)
        every.finish()
    [erased] = told(lab)
    assert isinstance(erased, Purge) and records.there == []
    assert (erased.reason, erased.manifests, erased.people) == ("person-erased", (), Count(about=None))


def test_an_erasure_is_told_of_and_destroys_the_salts_of_looks_too(lab: NodeLab) -> None:
    lab.agree(ASKED)
    [first, _] = lab.door.enclave.find(EVERYONE)
    reidentify(lab.door.vault, lab.entries, first.pseudonym, at=lab.clock(), **WHO)
    door = lab.door
    places = Places(door.quarantine, door.clinical, door.home / "results", door.objects, door.home / "volumes")
    every = Erasures(lab.database, door.vault, places, Purges(lab.entries, lab.discloser), bytes(range(32)), lab.clock)
    every.order(every.find([first.pseudonym], **WHO), **WHO)
    every.finish()
    every.finish()
    look, erased = told(lab)
    assert isinstance(look, Reidentification) and isinstance(erased, Purge)
    assert (erased.reason, erased.manifests) == ("person-erased", (lab.decision("glioma").manifest_index,))
    with lab.database.reading() as session:
        kept = session.scalars(select(Look)).one()
    assert (kept.salt, kept.pseudonym, kept.record) == (b"", "", look.record)
