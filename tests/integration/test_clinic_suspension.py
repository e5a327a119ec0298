"""A person takes a model out of use: at once, for good until a person takes it back, and on the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.clinic_lab import Clinic, ToyReader, made, result

from wardround.contracts.ledger_entry import Suspension
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.learning.archive import pack, unpack
from wardround.learning.arrays import to_bytes
from wardround.learning.bundle import export_bundle, load_bundle
from wardround.learning.lineage import KEY, Lineage
from wardround.node.audit import Audit
from wardround.node.clinic import reader
from wardround.node.clinic.states import IN_WORDS, ReadingState


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes]) -> Iterator[Clinic]:
    """With a model in use, and a reader that answers what a test says."""
    for clinic in made(tmp_path, package, ToyReader()):
        clinic.register()
        clinic.deploy()
        yield clinic


def test_a_suspended_model_reads_nothing_from_there_on_and_studies_keep_their_place(clinic: Clinic) -> None:
    clinic.arrive(0)
    clinic.pathway.tick()
    clinic.arrive(1)
    clinic.worker.answer = lambda *_: pytest.fail("it reads")
    clinic.pathway._read = lambda *_: None  # type: ignore[method-assign] # a queue that is still long
    clinic.pathway.tick()
    assert clinic.states() == [("read", ""), ("waiting", "")]
    before = [(line.study, line.arrived_at) for line in clinic.lines()]

    clinic.node.wire.cut = lambda _: "before"  # the hub is down: a suspension waits for nobody
    assert clinic.suspend().lines == 2
    assert clinic.states() == [("withheld", "drift"), ("not-read", "drift")]
    assert [(line.study, line.arrived_at) for line in clinic.lines()] == before
    clinic.pathway = clinic.make_pathway()
    clinic.pacs.up()
    clinic.arrive(2)
    assert clinic.pathway.tick() == 0
    assert (len(clinic.states()), clinic.pacs.taken) == (2, [])
    assert IN_WORDS[ReadingState.NOT_READ].startswith("not read: model suspended")

    clinic.node.wire.cut = lambda _: None
    assert clinic.node.entries.submit_waiting(clinic.node.database) == 2, "and that it was deployed, before"
    said = clinic.node.ledger()[-1]
    assert isinstance(said, Suspension)
    assert (said.model, said.pathway, said.stage, said.reason) == (clinic.digest, "brain", "suspended", "drift")
    with clinic.node.database.reading() as session:
        [row] = session.scalars(select(Audit).where(Audit.verb == "suspend-model"))
    assert (row.actor, row.subject, row.detail) == ("person:officer", clinic.digest, "brain: drift")


def test_a_reading_that_was_under_way_when_the_model_was_suspended_leaves_no_result(clinic: Clinic) -> None:

    def meanwhile(*_: Any) -> reader.Reading:
        clinic.suspend()
        return reader.Reading(result(), "1.2.3", 4.2)

    clinic.worker.answer = meanwhile
    for number in range(2):
        clinic.arrive(number)
    clinic.pacs.up()
    clinic.pathway.tick()
    assert len(clinic.worker.reads) == 1, "the second doesn't begin"
    assert clinic.states() == [("not-read", "drift")] * 2
    assert list(clinic.results.iterdir()) == clinic.pacs.taken == []


def test_what_is_enlisted_while_a_person_suspends_ends_at_the_next_tick(clinic: Clinic) -> None:
    enlist = clinic.pathway._queue.enlist

    def late(*arguments: Any) -> int:
        if clinic.lines() == []:
            clinic.suspend()
        return enlist(*arguments)

    clinic.pathway._queue.enlist = late  # type: ignore[method-assign] # the moment between two of its steps
    clinic.arrive()
    clinic.pathway.tick()
    clinic.pathway.tick()
    assert clinic.states() == [("not-read", "drift")]
    assert clinic.worker.reads == []


def test_a_model_is_named_by_its_digest_or_its_pathway_and_may_come_back(clinic: Clinic) -> None:
    for unknown in ("heart", clinic.digest[:7], "0" * 64):
        with pytest.raises(NotFound, match=f"in use: {clinic.digest[:12]} on brain"):
            clinic.suspend(unknown)
    assert clinic.suspend(clinic.digest[:8]).models == ((clinic.digest, "brain"),)
    with pytest.raises(NotFound, match="in use: none"):
        clinic.suspend()
    clinic.deploy()
    clinic.arrive()
    clinic.pathway.tick()
    assert clinic.states() == [("read", "")]


def test_a_model_whose_own_layers_an_erasure_removed_goes_out_of_use_by_itself(
    tmp_path: Path, package: tuple[str, bytes]
) -> None:
    """What this hospital lays over the model learned from somebody who is erased now (`Erasures`)."""
    unpack(package[1], tmp_path / "plain")
    arrays = load_bundle(tmp_path / "plain")[1]
    norm = min(arrays)
    lineage = Lineage(run="r-1", project="glioma", weights_sha256="b" * 64, at_home=(norm,))
    digest = export_bundle(arrays, tmp_path / "made", {KEY: lineage.model_dump(mode="json")})
    for clinic in made(tmp_path, (digest, pack(tmp_path / "made")), ToyReader()):
        own = clinic.node.own
        own.settle("r-1", "b" * 64, to_bytes({norm: arrays[norm] + 1}))
        clinic.register()
        clinic.deploy()
        clinic.arrive(0)
        clinic.pathway.tick()
        [arguments] = clinic.worker.reads
        assert own.sealed("r-1", "b" * 64) in arguments, "the process that reads is told where they lie"

        own.forget("r-1")
        clinic.arrive(1)
        clinic.pathway.tick()
        assert len(clinic.worker.reads) == 1 and clinic.worker.stopped, "nor are they in memory any more"
        assert clinic.states() == [("withheld", "own-layers-missing")]
        clinic.node.entries.submit_waiting(clinic.node.database)
        said = clinic.node.ledger()[-1]
        assert isinstance(said, Suspension)
        assert (said.model, said.pathway, said.reason) == (digest, "brain", "own-layers-missing")
        with pytest.raises(NotAllowed, match="until a patient is erased"):
            clinic.deploy()
