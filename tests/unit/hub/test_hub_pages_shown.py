"""What the hub's pages make of a federation: who is in which run, runs beside each other, and a model's whole story."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select
from tests.pages_lab import ASKED, HubLab, words_of

from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.contracts.project import Project
from wardround.contracts.standard_project import usual_leaves
from wardround.hub.projects import actions as projects
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs.tables import EvaluationRow, RoundSiteRow, RunRow


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


def test_of_a_patients_budget_the_hub_shows_the_rounds_that_it_knows_of_and_no_epsilon_that_it_does_not(
    lab: HubLab, browser: httpx.Client
) -> None:
    at, private = lab.clock(), PatientPrivacy(epsilon=8, noise_multiplier=1, sample_rate=0.1)
    plan = ASKED.plan.model_copy(update={"rounds": 10, "patient_privacy": private, "compare_alone": False})
    named = {"id": "quiet", "plan": plan, "runs": 2, "leaves": usual_leaves(plan, 4)}
    asked = Project.model_validate(ASKED.model_copy(update=named).model_dump(mode="json"))
    with lab.home.database.writing() as session:
        projects.draft(session, asked, actor="person:researcher", at=at)
    told = words_of(browser.get("/projects/quiet"))
    assert "an epsilon of 8 altogether, at a delta of 1e-05" in told
    assert "no round was trained 20 0 0" in told, "two runs of ten rounds"
    with lab.home.database.writing() as session:
        first = session.scalars(select(RunRow).where(RunRow.project == ASKED.id)).first()
        for run in ("quiet-1", "quiet-2"):
            kept = {column.name: getattr(first, column.name) for column in RunRow.__table__.columns}
            session.add(RunRow(**(kept | {"id": run, "project": "quiet", "state": "ended"})))
        session.flush()
        for number in range(1, 4):
            for run in ("quiet-1", "quiet-2"):
                session.add(RoundSiteRow(run=run, round=number, site="east", state="taken"))
                session.add(RoundSiteRow(run=run, round=number, site="west", state="missing", reason="deadline"))
        session.add(
            RoundSiteRow(
                run="quiet-2", round=4, site="east", state="missing", reason="declined: privacy-budget-used-up"
            )
        )
    told = words_of(browser.get("/projects/quiet"))
    assert "east used up it declined a round that would have told more 0 6 2" in told, "six rounds of two runs"
    assert "west" not in told.split("Of any one patient")[1].split("What it asks")[0], (
        "it paid for nothing that is known"
    )
    assert "Of any one patient" not in words_of(browser.get(f"/projects/{ASKED.id}")), "there is no budget to show"
    with lab.home.database.writing() as session:
        for row in session.scalars(select(RoundSiteRow).where(RoundSiteRow.run.like("quiet-%"))):
            session.delete(row)
        for run in session.scalars(select(RunRow).where(RunRow.project == "quiet")):
            session.delete(run)


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


def test_a_curve_ends_where_the_last_rounds_model_was_judged(lab: HubLab, browser: httpx.Client) -> None:
    """A hospital tells of the model that a round begins with; of the last round's only what came after says it."""
    assert "north, 5: " in browser.get("/runs/glioma/glioma-1").text
    assert "north, 6: " not in browser.get("/runs/glioma/glioma-1").text
    told = {"run": "glioma-1", "site": "north", "patients": 20, "membership": None, "entry": 3}
    with lab.home.database.writing() as session:
        session.add(EvaluationRow(label="federated", model="a" * 64, score=0.8125, **told))
        session.add(EvaluationRow(label="local:north", model="b" * 64, score=0.5, **told))
    page = browser.get("/runs/glioma/glioma-1").text
    assert "north, 6: 0.8125" in page and "east, 6: " not in page
    assert "north, 6: 0.5<" not in page, "a model that was trained alone is none of a round"


def test_a_model_tells_its_story_by_the_ledger(lab: HubLab, browser: httpx.Client) -> None:
    with lab.home.database.reading() as session:
        digest = session.scalars(select(ModelRow.digest)).one()
    assert f'href="/models/glioma/{digest}"' in browser.get("/models").text
    page = browser.get(f"/models/glioma/{digest}")
    told = words_of(page)
    assert "north shadow brain-mri-glioma offline:" in told and "0.810" in told
    assert "Dice here" in told and "Dice here, of a model trained here alone" in told
    assert "south not in use none" in told, "a hospital whose data are in it, which doesn't use it"
    assert f"brain-mri-glioma, {digest[:12]}, round 6" in page.text
    assert page.text.count('class="tie"') == 4 + 1 + 2, "four hospitals, the run, two in use"
    assert "Nothing yet. Write it: wardround model card" in told
    assert browser.get(f"/models/other/{digest}").status_code == 404, "the right is asked for the project's own name"
