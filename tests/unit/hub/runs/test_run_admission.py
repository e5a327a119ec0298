"""An update counts only with the site's own ledger entry on exactly these bytes, and by leave of its hospital."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from tests.unit.hub.runs.run_lab import NOON, RunLab, project, weights

from wardround.contracts.ledger_entry import Evidence, Update
from wardround.federation.engine import UpdateHeader, UpdateRefused
from wardround.hub.runs import actions, queries
from wardround.hub.runs.states import RunState

UPDATE = weights(1)
DIGEST = sha256(UPDATE).hexdigest()


@pytest.fixture
def run(lab: RunLab) -> str:
    run = lab.ready("north", "south")
    with lab.database.writing() as session:
        row = queries.row_of(session, run)
        actions.open_leg(session, row, at=NOON)
        actions.move(session, row, RunState.RUNNING, reason="leg 1", actor="hub", at=NOON)
    return run


def header(lab: RunLab, run: str, site: str = "north") -> UpdateHeader:
    entry = lab.hospitals[site].update_entry(run, 1, UPDATE)
    return UpdateHeader(run, f"{run}.1", 1, site, entry, DIGEST, 10.0, {}, 10, len(UPDATE))


def refusal(lab: RunLab, header: UpdateHeader) -> str:
    with pytest.raises(UpdateRefused) as refused:
        lab.coordinator.admit(header)
    return refused.value.reason


def test_an_update_with_its_own_entry_is_admitted(lab: RunLab, run: str) -> None:
    lab.coordinator.admit(header(lab, run))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"leg_id": "glioma-1.2"}, "not-current"),
        ({"leg_id": "nowhere-1.1"}, "not-current"),
        ({"run_id": "glioma-2"}, "wrong-round"),
        ({"round": 0}, "wrong-round"),
        ({"round": 2}, "wrong-round"),
        ({"site": "west"}, "not-approved"),
        ({"ledger_index": None}, "no-entry"),
        ({"ledger_index": 999}, "unknown-entry"),
        ({"ledger_index": -1}, "unknown-entry"),
        ({"ledger_index": 0}, "unknown-entry"),
        ({"digest": "0" * 64}, "entry-differs"),
        ({"site": "south"}, "entry-differs"),
    ],
)
def test_an_update_that_differs_in_anything_is_refused_with_its_reason(
    lab: RunLab, run: str, change: dict[str, object], reason: str
) -> None:
    assert refusal(lab, replace(header(lab, run), **change)) == reason  # type: ignore[arg-type]  # each one's own type


def test_an_entry_of_another_kind_round_or_run_covers_nothing(lab: RunLab, run: str) -> None:
    north = lab.hospitals["north"]
    right = header(lab, run)
    evidence = Evidence(origin="north", at=NOON, model=DIGEST, pathway="toy", stage="offline", record="d" * 64)
    assert refusal(lab, replace(right, ledger_index=north.put(evidence))) == "unknown-entry"
    for index in (north.update_entry(run, 2, UPDATE), north.update_entry("other-1", 1, UPDATE)):
        assert refusal(lab, replace(right, ledger_index=index)) == "entry-differs"


def test_an_update_of_data_whose_use_is_not_on_the_record_is_refused(lab: RunLab, run: str) -> None:
    north, right = lab.hospitals["north"], header(lab, run)
    entry = Update(origin="north", at=NOON, run=run, round=1, digest=DIGEST, manifest=north.manifest, steps=10)
    assert refusal(lab, replace(right, ledger_index=north.put(entry))) == "no-use"


def test_a_cohort_approved_for_another_project_covers_nothing(lab: RunLab, run: str) -> None:
    other = project("other")
    lab.submit(other)
    lab.approve(other, "north")
    assert refusal(lab, header(lab, run)) == "other-cohort"


def test_a_site_that_didnt_approve_or_was_shut_out_is_refused(lab: RunLab, run: str) -> None:
    right = header(lab, run)
    lab.join("west")
    lab.hospitals["west"].manifest = lab.hospitals["north"].manifest
    assert refusal(lab, replace(right, site="west")) == "not-approved"
    lab.revoke("north")
    assert refusal(lab, right) == "not-approved"
    assert lab.coordinator.begin(f"{run}.1").sites == ("south",)


@pytest.mark.parametrize("state", [RunState.COMPARING, RunState.STOPPED, RunState.ENDED, RunState.FAILED])
def test_a_run_that_isnt_training_takes_no_update(lab: RunLab, run: str, state: RunState) -> None:
    right = header(lab, run)
    with lab.database.writing() as session:
        actions.move(session, queries.row_of(session, run), state, reason="a test", actor="hub", at=NOON)
    assert refusal(lab, right) == "not-current"
