"""Several hospitals judge a model by one plan; the hub sees what each told, and all of it together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError
from tests.unit.hub.runs.run_lab import NOON, RunLab

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Evidence
from wardround.contracts.outbound import Estimate, EvidenceSummary
from wardround.contracts.validation import JudgedCase, LocalValidation
from wardround.foundation.errors import NotAllowed
from wardround.hub.registry.evidence import _take, together
from wardround.learning.statistics.pooling import pool_shares
from wardround.node.cohort.disclosure import Discloser
from wardround.node.cohort.noise import PersonWords
from wardround.node.evidence.sharing import by_group, summary

MODEL, PLAN, OTHER = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunLab]:
    found = RunLab(tmp_path)
    for site in ("north", "south"):
        found.join(site)
    yield found
    found.close()


def tell(
    hub: RunLab,
    site: str,
    value: float,
    people: int,
    *,
    plan: str = PLAN,
    of: str = "",
    entry: int = -1,
    groups: dict[str, Any] | None = None,
) -> None:
    if entry < 0:
        record = Evidence(origin=site, at=NOON, model=MODEL, pathway="brain", stage="offline", record="d" * 64)
        entry = hub.hospitals[site].put(record)
    told = Estimate(value=value, people=Count(about=people))
    message = EvidenceSummary(model=MODEL, plan=plan, estimates={"sensitivity": told}, groups=groups or {}, entry=entry)
    origin = of or site
    caller: Any = SimpleNamespace(site=origin, actor=f"site:{origin}", database=hub.database, now=hub.clock)
    _take(caller, message, b"")


def test_what_followed_one_plan_is_pooled_and_nothing_else(hub: RunLab) -> None:
    tell(hub, "north", 0.9, 100)
    tell(hub, "south", 0.8, 50)
    tell(hub, "south", 0.2, 50, plan=OTHER)
    with hub.database.reading() as session:
        first, other = together(session, MODEL)
    assert set(first.sites) == {"north", "south"} and set(other.sites) == {"south"}
    # As by hand: 90 of 100 and 40 of 50.
    wanted = pool_shares([(90, 100), (40, 50)])
    assert first.pooled["sensitivity"].random.value == pytest.approx(wanted.random.value)
    assert first.pooled["sensitivity"].fixed.low == pytest.approx(wanted.fixed.low)
    assert first.pooled["sensitivity"].inconsistency == pytest.approx(wanted.inconsistency)


def test_a_site_that_tells_again_is_counted_once_and_speaks_for_itself_alone(hub: RunLab) -> None:
    tell(hub, "north", 0.5, 20)
    tell(hub, "north", 0.9, 100)
    with hub.database.reading() as session:
        [found] = together(session, MODEL)
    assert found.sites["north"].estimates["sensitivity"].value == 0.9
    with pytest.raises(NotAllowed, match="no evidence of this site"):
        tell(hub, "north", 0.9, 100, of="south")
    with pytest.raises(NotAllowed):
        tell(hub, "north", 0.9, 100, entry=0)


def test_of_too_few_people_no_measure_is_told() -> None:
    with pytest.raises(ValidationError):
        Estimate(value=0.9, people=Count(about=None))
    cases = {
        f"P{number}": JudgedCase(score=float(number % 40 == 0), positive=number % 40 == 0, dice=0.8)
        for number in range(200)
    }
    record = LocalValidation(
        plan=PLAN,
        model=MODEL,
        pathway="glioma",
        scores="millilitres",
        threshold=0.5,
        least={},
        fewest=1,
        cases=cases,
        unusable={},
    )
    told = summary(record, cases, {name: name for name in cases}, Discloser(PersonWords(bytes(range(32)))))
    # Five have the finding: of them nothing leaves. Those without it are many.
    assert set(told) == {"specificity"}
    assert told["specificity"].value == 1 and cast(int, told["specificity"].people.about) >= 100


def judged(sexes: dict[str, int]) -> LocalValidation:
    """Of each sex so many patients, every second with a finding, found."""
    cases = {
        f"{sex} {number}": JudgedCase(score=float(number % 2), positive=bool(number % 2), groups={"sex": sex})
        for sex, count in sexes.items()
        for number in range(count)
    }
    return LocalValidation(
        plan=PLAN,
        model=MODEL,
        pathway="glioma",
        scores="probability",
        threshold=0.5,
        least={},
        fewest=1,
        cases=cases,
        unusable={},
    )


@pytest.mark.parametrize(
    ("sexes", "told"),
    [
        ({"female": 100, "male": 80}, {"sex female", "sex male"}),
        # Nobody works out what is held back of a few from all and the others.
        ({"female": 100, "male": 6}, set()),
        ({"female": 100, "male": 80, "not known": 4}, set()),
        ({"female": 100, "male": 80, "not known": 90}, {"sex female", "sex male"}),
    ],
)
def test_groups_are_told_all_of_them_or_none(sexes: dict[str, int], told: set[str]) -> None:
    record = judged(sexes)
    found = by_group(record, {name: name for name in record.cases}, Discloser(PersonWords(bytes(range(32)))))
    assert {group for group in found if group.startswith("sex")} == told
    assert all(set(one) == {"sensitivity", "specificity", "auc"} for one in found.values())


def test_groups_are_pooled_over_the_sites_that_told_them(hub: RunLab) -> None:
    def of(value: float, people: int) -> dict[str, Estimate]:
        return {"sensitivity": Estimate(value=value, people=Count(about=people))}

    tell(hub, "north", 0.9, 100, groups={"sex female": of(0.9, 50), "sex male": of(0.8, 50)})
    tell(hub, "south", 0.8, 50, groups={"sex female": of(0.7, 40)})
    with hub.database.reading() as session:
        [found] = together(session, MODEL)
    assert set(found.groups) == {"sex female", "sex male"}
    women = pool_shares([(45, 50), (28, 40)])
    assert found.groups["sex female"]["sensitivity"].random.value == pytest.approx(women.random.value)
    assert found.groups["sex male"]["sensitivity"].fixed.value == pytest.approx(0.8)
    with pytest.raises(ValidationError):
        tell(hub, "south", 0.8, 50, groups={"scanner Siemens Prisma 4711": of(0.7, 40)})
