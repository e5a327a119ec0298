"""A model is registered once, under the digest of a package that anybody can make again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.unit.hub.runs.run_lab import NOON, RunLab, weights

from wardround.contracts.ledger_entry import Model
from wardround.foundation.errors import NotFound
from wardround.hub.registry import queries as registry
from wardround.hub.registry.registration import Registration
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import queries
from wardround.learning.archive import unpack
from wardround.learning.bundle import bundle_digest
from wardround.ledger import store


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunLab]:
    made = RunLab(tmp_path)
    yield made
    made.close()


def test_a_package_is_the_same_each_time_and_holds_what_its_digest_says(lab: RunLab, tmp_path: Path) -> None:
    run = lab.row(lab.ready("north", "south"))
    digest = lab.objects.put(weights(3))
    registration = Registration(lab.objects, lab.log, lab.packages)
    package = registration.package(run, digest)
    assert registration.package(run, digest) == package
    unpack(lab.objects.get(package.archive), tmp_path / "out")
    assert bundle_digest(tmp_path / "out") == package.digest
    assert digest in (tmp_path / "out" / "configs" / "metadata.json").read_text()
    other = registration.package(run, lab.objects.put(weights(4)))
    assert other.digest != package.digest


def test_registering_twice_changes_nothing(lab: RunLab) -> None:
    run_id = lab.ready("north", "south")
    digest = lab.objects.put(weights(3))
    registration = Registration(lab.objects, lab.log, lab.packages)
    for _ in range(2):
        run = lab.row(run_id)
        package = registration.package(run, digest)
        with lab.database.writing() as session:
            run = queries.row_of(session, run_id)
            assert registration.register(session, run, digest, package, round_number=2, at=NOON) == package.digest
    with lab.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(ModelRow)) == 1
        entries = [store.entry(session, index) for index in range(lab.log.size(session))]
    assert [entry.digest for entry in entries if isinstance(entry, Model)] == [package.digest]


def test_a_model_is_found_by_the_beginning_of_its_digest(lab: RunLab) -> None:
    run_id = lab.ready("north", "south")
    registration = Registration(lab.objects, lab.log, lab.packages)
    digest = lab.objects.put(weights(3))
    package = registration.package(lab.row(run_id), digest)
    with lab.database.writing() as session:
        registration.register(session, queries.row_of(session, run_id), digest, package, round_number=2, at=NOON)
    with lab.database.reading() as session:
        assert registry.model_of(session, package.digest[:8]).digest == package.digest
        for wrong in (package.digest[:7], "", "%", "f" * 64, package.digest + "0"):
            with pytest.raises(NotFound, match="wardround model list"):
                registry.model_of(session, wrong)
        assert registry.object_behind(session, package.digest) == package.archive
        assert registry.object_behind(session, digest) == digest
