"""What the hub's pages make of a federation: who is in which run, runs beside each other, and a model's whole story."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select
from tests.pages_lab import HubLab, words_of

from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs.tables import RunRow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    made = HubLab(tmp_path_factory.mktemp("hub") / "home")
    made.seed()
    yield made
    made.close()


@pytest.fixture
def browser(lab: HubLab) -> httpx.Client:
    return lab.face.browser("researcher")


def test_the_map_has_a_line_for_whoever_was_counted_and_a_dashed_one_for_whoever_was_not(
    lab: HubLab, browser: httpx.Client
) -> None:
    def ties() -> tuple[int, int]:
        page = browser.get("/federation").text
        return page.count('class="tie"'), page.count('class="tie-weak"')

    assert ties() == (4, 0) and "glioma-1, stopped, round 6" in browser.get("/federation").text
    with lab.home.database.writing() as session:
        session.scalars(select(RunRow)).one().round = 3
    assert ties() == (3, 1), "west missed round 3"
    with lab.home.database.writing() as session:
        run = session.scalars(select(RunRow)).one()
        run.round, run.state = 6, "ended"
    assert "No run is under way" in words_of(browser.get("/federation")) and ties() == (0, 0)
    with lab.home.database.writing() as session:
        session.scalars(select(RunRow)).one().state = "stopped"


def test_runs_that_were_ticked_stand_beside_each_other_by_their_own_metric(lab: HubLab, browser: httpx.Client) -> None:
    with lab.home.database.writing() as session:
        first = session.scalars(select(RunRow)).one()
        for number in range(2, 9):
            session.add(
                RunRow(
                    id=f"glioma-{number}",
                    project=first.project,
                    project_digest=first.project_digest,
                    plan=first.plan,
                    state="ended",
                    round=0,
                    current=first.current,
                    engine="flare",
                    engine_version="2.9.0",
                    started_by=first.started_by,
                    started_at=first.started_at + timedelta(seconds=number),
                    state_since=first.state_since,
                )
            )

    def beside(query: str) -> list[str]:
        part = browser.get(f"/runs{query}").text.split('id="compare"')[1].split('id="list"')[0]
        return re.findall(r">(glioma-\d)</a>", part)

    assert len(beside("")) == 6 and "glioma-1" not in beside(""), "the newest six"
    assert beside("?run=glioma-1&run=glioma-3") == ["glioma-3", "glioma-1"]
    told = words_of(browser.get("/runs?run=glioma-1"))
    assert "0.780 Dice" in told and "14.2 s" in told and "east, north, south, west" in told
    assert beside("?run=no-such-run") == beside("")


def test_a_model_tells_its_story_by_the_ledger(lab: HubLab, browser: httpx.Client) -> None:
    with lab.home.database.reading() as session:
        digest = session.scalars(select(ModelRow.digest)).one()
    assert f'href="/models/glioma/{digest}"' in browser.get("/models").text
    page = browser.get(f"/models/glioma/{digest}")
    told = words_of(page)
    assert "north shadow brain-mri-glioma offline:" in told and "0.810" in told
    assert "south not in use none" in told, "a hospital whose data are in it, which doesn't use it"
    assert f"brain-mri-glioma, {digest[:12]}, round 6" in page.text
    assert page.text.count('class="tie"') == 4 + 1 + 2, "four hospitals, the run, two in use"
    assert "Nothing yet. Write it: wardround model card" in told
    assert browser.get(f"/models/other/{digest}").status_code == 404, "the right is asked for the project's own name"
