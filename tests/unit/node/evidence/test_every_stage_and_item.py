"""Each stage with each item of evidence that it needs: missing, stale, of too few, untold, or showing too little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.evidence.test_stage_ladder import LEAD, MODEL, OFFICER, PACKAGE, WEIGHTS, Ladder
from tests.unit.node.projects.node_lab import beside_a_hub

from wardround.contracts.evidence import EvidenceRecord, OfflineValidation, ShadowUse
from wardround.contracts.stage import EVIDENCE, LADDER, STAGES, EvidenceKind, StageName
from wardround.contracts.use_evidence import DelayOfUnflagged, OrderEffect, ReaderStudy, SecondRead, SecondReads, Wait
from wardround.contracts.validation import JudgedCase, LocalValidation
from wardround.foundation.errors import NotAllowed
from wardround.node.evidence.ladder import lacking_evidence
from wardround.node.evidence.promotion import standing
from wardround.node.evidence.shelf import Kept, keep_and_tell
from wardround.node.evidence.words import told

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WAIT = Wait(open=60, open_by_arrival=300, report=600, report_by_arrival=840, finding=True)
USE: dict[str, Any] = {"model": PACKAGE, "pathway": "brain", "since": NOW - timedelta(days=9), "until": NOW}


def _offline(count: int) -> EvidenceRecord:
    outcomes = {f"P{number}": (0.5 + number / 100,) for number in range(count)}
    return OfflineValidation(
        run="r-1", label="federated", model=WEIGHTS, pathway="glioma", metric="dice", outcomes=outcomes
    )


def _local(count: int) -> EvidenceRecord:
    cases = {
        f"P{number}": JudgedCase(score=float(number % 2), positive=bool(number % 2), dice=0.9)
        for number in range(count)
    }
    return LocalValidation(
        plan="c" * 64,
        model=PACKAGE,
        pathway="glioma",
        scores="millilitres",
        threshold=0.5,
        least={"dice": 0.7},
        fewest=20,
        cases=cases,
        unusable={},
    )


def _shadow(count: int) -> EvidenceRecord:
    return ShadowUse(
        **USE,
        studies=count,
        read=count,
        flagged=0,
        failed={},
        out_of_scope=0,
        seconds_p50=2.0,
        seconds_p95=4.0,
        seen=0,
        agreement=(1, 2, 3, 4),
    )


def _order(count: int) -> EvidenceRecord:
    return OrderEffect(**USE, stage="prioritisation", studies=count, days=9, flagged=(WAIT,) * 3, prevalence=(3, 9))


def _delay(count: int) -> EvidenceRecord:
    return DelayOfUnflagged(**USE, stage="prioritisation", unflagged=(WAIT,) * count)


def _second(count: int) -> EvidenceRecord:
    read = SecondRead(first=False, model=True, final=True, truth=True)
    return SecondReads(**USE, stage="second-reader", reads=(read,) * count)


def _readers(count: int) -> EvidenceRecord:
    count = max(count, 4)
    positive = tuple(place % 2 == 0 for place in range(count))
    alone = tuple(float(one) + (place * 7 % 5) / 3 for place, one in enumerate(positive))
    aided = tuple(float(one) * 3 + (place * 7 % 5) / 3 for place, one in enumerate(positive))
    return ReaderStudy(model=PACKAGE, pathway="brain", positive=positive, alone=(alone,) * 2, aided=(aided,) * 2)


MADE: dict[EvidenceKind, Callable[[int], EvidenceRecord]] = {
    "offline-validation": _offline,
    "local-validation": _local,
    "shadow-use": _shadow,
    "order-effect": _order,
    "delay-of-unflagged": _delay,
    "second-reads": _second,
    "reader-study": _readers,
}
FEWEST = {"local-validation": 20}


def _kept(kind: EvidenceKind, *, count: int = 40, entry: int | None = 7, at: datetime = NOW) -> Kept:
    record = MADE[kind](count)
    return Kept(record, record.content_digest(), entry, at)


def _whole(stage: StageName) -> dict[EvidenceKind, Kept | None]:
    return {kind: _kept(kind) for kind in STAGES[stage].needs}


ITEMS = [(stage, kind) for stage in LADDER for kind in STAGES[stage].needs]
FAULTS: dict[str, Callable[[EvidenceKind], Kept | None]] = {
    "no-evidence": lambda kind: None,
    "evidence-stale": lambda kind: _kept(kind, at=NOW - timedelta(days=EVIDENCE[kind].days, seconds=1)),
    "too-few": lambda kind: _kept(kind, count=max(EVIDENCE[kind].fewest, FEWEST.get(kind, 0)) - 1),
    "evidence-not-told": lambda kind: _kept(kind, entry=None),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("stage", "kind"), ITEMS)
def test_one_item_that_is_missing_keeps_the_stage_shut_and_is_named(
    stage: StageName, kind: EvidenceKind, fault: str
) -> None:
    found = _whole(stage)
    assert lacking_evidence(found, NOW) == ()
    found[kind] = FAULTS[fault](kind)
    [missing] = lacking_evidence(found, NOW)
    assert missing.code == fault and kind in missing.words


@pytest.mark.parametrize("stage", LADDER)
def test_all_that_is_missing_is_listed(stage: StageName) -> None:
    missing = lacking_evidence(dict.fromkeys(STAGES[stage].needs), NOW)
    assert [one.code for one in missing] == ["no-evidence"] * len(STAGES[stage].needs)


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        ("local-validation", {"least": {"dice": 0.95}}, "below-plan"),
        ("local-validation", {"least": {"sensitivity": 0.99}}, "below-plan"),
        ("shadow-use", {"seen": 1}, "was-seen"),
        ("shadow-use", {"seen": None}, "not-shown-unseen"),
        ("reader-study", {"aided": ((1.0,) * 40, (0.0,) * 40)}, "below-plan"),
    ],
)
def test_evidence_that_shows_too_little_keeps_the_stage_shut(
    kind: EvidenceKind, change: dict[str, Any], code: str
) -> None:
    kept = _kept(kind)
    worse = replace(kept, record=kept.record.model_copy(update=change))
    assert [one.code for one in lacking_evidence({kind: worse}, NOW)] == [code]


@pytest.mark.parametrize("kind", MADE)
def test_every_kind_is_told_in_words_and_read_again_as_it_was(kind: EvidenceKind) -> None:
    from wardround.contracts.evidence import RECORD

    record = MADE[kind](40)
    assert list(told(record))
    assert RECORD.validate_json(record.canonical()) == record
    assert "—" not in " ".join(told(record))


@pytest.fixture
def ladder(tmp_path: Path) -> Iterator[Ladder]:
    with beside_a_hub(tmp_path, Ladder) as found:
        yield found


def test_a_model_climbs_to_the_top_on_evidence_of_each_stage_and_by_two_people_each_time(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    kinds: list[EvidenceKind] = []
    for stage in LADDER[LADDER.index("prioritisation") :]:
        for kind in STAGES[stage].needs:
            if kind in ("offline-validation", *kinds):
                continue
            assert ladder.refused(stage=stage) == "no-evidence"
            with ladder.database.writing() as session:
                record = MADE[kind](40)
                keep_and_tell(session, record, "shadow", ladder.entries, at=ladder.clock(), actor="person:ada")
            ladder.entries.submit_waiting(ladder.database)
            kinds.append(kind)
        with pytest.raises(NotAllowed) as wrong:
            ladder.agree(replace(OFFICER, roles=frozenset({"radiologist"})), stage)
        assert wrong.value.code == "wrong-role"
        ladder.agree(OFFICER, stage)
        ladder.agree(OFFICER, stage)
        assert ladder.stage() != stage
        ladder.agree(LEAD, stage)
        assert ladder.stage() == stage
    assert set(kinds) == set(EVIDENCE) - {"offline-validation"}
    ladder.entries.submit_waiting(ladder.database)
    assert [entry.stage for entry in ladder.promotions()] == list(LADDER[2:])
    with ladder.database.reading() as session:
        found = standing(session, ladder.row(session), MODEL, "primary-reader", ladder.clock())
    assert found.missing[0].code == "not-next"
