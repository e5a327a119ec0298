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
from wardround.node.evidence.sharing import summary

MODEL, PLAN, OTHER = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunLab]:
    found = RunLab(tmp_path)
    for site in ("north", "south"):
        found.join(site)
    yield found
    found.close()


def tell(hub: RunLab, site: str, value: float, people: int, *, plan: str = PLAN, of: str = "", entry: int = -1) -> None:
    if entry < 0:
        record = Evidence(origin=site, at=NOON, model=MODEL, pathway="brain", stage="offline", record="d" * 64)
        entry = hub.hospitals[site].put(record)
    told = Estimate(value=value, people=Count(about=people))
    message = EvidenceSummary(model=MODEL, plan=plan, estimates={"sensitivity": told}, entry=entry)
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
    told = summary(record, {name: name for name in cases}, Discloser(PersonWords(bytes(range(32)))))
    # Five have the finding: of them nothing leaves. Those without it are many.
    assert set(told) == {"specificity"}
    assert told["specificity"].value == 1 and cast(int, told["specificity"].people.about) >= 100
