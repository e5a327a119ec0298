"""What was made of data names the use of them that was recorded before, of its own site, run, round and cohort."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.ledger.federation import NOON, PROJECT, Federation

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Evidence, Manifest, Promotion, Update, Use
from wardround.ledger.members import EntryRefused
from wardround.ledger.verification import verify

Found = Callable[..., Federation]
OTHER = "b" * 64


def refusal(federation: Federation, data: bytes) -> str:
    with pytest.raises(EntryRefused) as refused:
        federation.append(data)
    return refused.value.code


def frozen(federation: Federation, site: int) -> int:
    one = federation.sites[site]
    [approval] = federation.append(one.approval())
    manifest = Manifest(
        origin=one.name, at=NOON, project="glioma", approval=approval, people=Count(about=None), commitment=PROJECT
    )
    return federation.append(one.sign(manifest))[0]


@pytest.mark.parametrize(
    "said",
    [
        {"purpose": "training"},
        {"purpose": "training", "round": 1, "model": PROJECT},
        {"purpose": "preparation", "round": 1},
        {"purpose": "preparation", "model": PROJECT},
        {"purpose": "judging"},
        {"purpose": "judging", "model": PROJECT, "round": 1},
    ],
)
def test_a_use_names_what_its_purpose_needs_and_nothing_else(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="and nowhere else"):
        Use(origin="north", at=NOON, run="run-1", manifest=4, **said)


def test_an_update_fits_the_use_that_it_names(found: Found) -> None:
    federation = found("north", "south")
    north, south = federation.sites
    ours, theirs = frozen(federation, 0), frozen(federation, 1)

    def use(**said: Any) -> int:
        made: dict[str, Any] = {"run": "run-1", "purpose": "training", "round": 1, "manifest": ours, **said}
        return federation.append(north.sign(Use(origin="north", at=NOON, **made)))[0]

    def update(used: int | None, **said: Any) -> bytes:
        made = {"run": "run-1", "round": 1, "manifest": ours, "digest": PROJECT, "steps": 9, "use": used, **said}
        return north.sign(Update(origin="north", at=NOON, **made))

    right = use()
    federation.append(update(right))
    federation.append(update(None))
    assert refusal(federation, update(right, round=2)) == "reference-mismatch"
    assert refusal(federation, update(right, run="run-2")) == "reference-mismatch"
    assert refusal(federation, update(use(purpose="preparation", round=None))) == "reference-mismatch"
    assert refusal(federation, update(use(manifest=frozen(federation, 0)))) == "reference-mismatch"
    assert refusal(federation, update(ours)) == "reference-kind"
    assert refusal(federation, update(9999)) == "reference-missing"
    abroad = Use(origin="south", at=NOON, run="run-1", purpose="training", round=1, manifest=theirs)
    [other] = federation.append(south.sign(abroad))
    assert refusal(federation, update(other)) == "reference-mismatch"


def test_evidence_fits_the_use_that_it_names(found: Found) -> None:
    federation = found("north", "south")
    north, south = federation.sites
    ours = frozen(federation, 0)
    judging = Use(origin="north", at=NOON, run="run-1", purpose="judging", model=PROJECT, manifest=ours)
    [use] = federation.append(north.sign(judging))

    def evidence(origin: str, model: str, used: int | None) -> Evidence:
        return Evidence(origin=origin, at=NOON, model=model, pathway="brain", stage="offline", record=OTHER, use=used)

    federation.append(north.sign(evidence("north", PROJECT, use)), south.sign(evidence("south", PROJECT, None)))
    assert refusal(federation, north.sign(evidence("north", OTHER, use))) == "reference-mismatch"
    assert refusal(federation, south.sign(evidence("south", PROJECT, use))) == "reference-mismatch"
    training = Use(origin="north", at=NOON, run="run-1", purpose="training", round=1, manifest=ours)
    [other] = federation.append(north.sign(training))
    assert refusal(federation, north.sign(evidence("north", PROJECT, other))) == "reference-mismatch"


def test_a_promotion_rests_on_evidence_of_its_own_model(found: Found) -> None:
    federation = found("north", "south")
    north, south = federation.sites
    made = {"at": NOON, "pathway": "brain", "stage": "shadow", "record": OTHER}
    one, two, other = federation.append(
        north.sign(Evidence(origin="north", model=PROJECT, **made)),
        south.sign(Evidence(origin="south", model=PROJECT, **made)),
        north.sign(Evidence(origin="north", model=OTHER, **made)),
    )

    def promotion(*evidence: int) -> bytes:
        return north.sign(
            Promotion(
                origin="north", at=NOON, model=PROJECT, pathway="brain", stage="prioritisation", evidence=evidence
            )
        )

    federation.append(promotion(one, two), promotion())
    assert refusal(federation, promotion(one, other)) == "reference-mismatch"
    assert refusal(federation, promotion(0)) == "reference-kind"
    assert refusal(federation, promotion(99)) == "reference-missing"
    assert federation.round_of_witnesses()
    with federation.database.reading() as tx:
        assert verify(tx, federation.log.vkey).problems == ()
