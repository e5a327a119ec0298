"""A model's card: what the registry and the ledger know of it, and what people wrote, kept apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import select
from tests.unit.hub.runs.run_lab import NOON, RunLab, weights

from wardround.contracts.ledger_entry import Deployment, Evidence, Suspension
from wardround.contracts.model_card import CardText, Hazard, risk
from wardround.foundation.settings import SettingsRefused, read_settings
from wardround.hub.audit import Audit
from wardround.hub.registry.card import card_of, parents_of, write
from wardround.hub.registry.registration import Registration
from wardround.hub.registry.tables import ModelRow, ModelText
from wardround.hub.runs import queries

PARENT = "e" * 64
TEXT = """\
licence = "Apache-2.0"
intended_use = "Outlines of gliomas, for research."
exclusions = ["children", "after surgery"]

[[hazards]]
name = "H1"
hazard = "a glioma is not | outlined"
effect = "read later"
severity = "major"
likelihood = "medium"
controls = ["every study is read by a radiologist"]
severity_left = "major"
likelihood_left = "very-low"
owner = "pathway lead"

[dcb0129]
organisation = "A federation"
safety_officer = "Dr A. Officer"
report = "CSCR-1"
plan = "CRMP-1"

[dtac]
usability = "tested with six radiologists"

[[changes]]
change = "other weights of the same network"
protocol = "judged on the same plan at every hospital"
impact = "none on the interface"
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunLab]:
    found = RunLab(tmp_path)
    yield found
    found.close()


def registered(hub: RunLab) -> ModelRow:
    """A run to which both hospitals gave an update, and the model that came of it, with its parents."""
    run = hub.ready("north", "south")
    for site in hub.hospitals.values():
        site.update_entry(run, 1, weights(1))
    digest = hub.objects.put(weights(3))
    registration = Registration(hub.objects, hub.log, hub.packages)
    package = registration.package(hub.row(run), digest, (PARENT,))
    with hub.database.writing() as session:
        registration.register(session, queries.row_of(session, run), digest, package, round_number=1, at=NOON)
    with hub.database.reading() as session:
        return session.scalars(select(ModelRow)).one()


def test_the_card_names_run_cohorts_by_commitment_evidence_and_what_became_of_it(hub: RunLab, tmp_path: Path) -> None:
    row = registered(hub)
    north = hub.hospitals["north"]
    north.put(Evidence(origin="north", at=NOON, model=row.weights, pathway="brain", stage="offline", record="d" * 64))
    north.put(Deployment(origin="north", at=NOON, model=row.digest, pathway="brain", stage="shadow"))
    north.put(Suspension(origin="north", at=NOON, model=row.digest, pathway="brain", stage="suspended", reason="drift"))
    with hub.database.reading() as session:
        shown = card_of(session, row, parents_of(hub.objects.get(row.archive)))
    assert row.digest in shown and f"run {row.run}" in shown and "merged of eeee" in shown
    assert shown.count("cohort of ") == 2 and "commitment" in shown
    assert "north: evidence, brain at offline" in shown and "out of use, brain at suspended" in shown
    assert "Nothing yet. Write it" in shown
    file = tmp_path / "card.toml"
    file.write_text(TEXT)
    with hub.database.writing() as session:
        write(session, row.digest, read_settings(file, CardText), actor="person:ada", at=NOON)
    with hub.database.writing() as session:
        write(session, row.digest, CardText(licence="MIT"), actor="person:grace", at=NOON)
    with hub.database.reading() as session:
        again = card_of(session, row)
        kept = session.scalars(select(ModelText).order_by(ModelText.id)).all()
        told = [(one.actor, one.verb) for one in session.scalars(select(Audit)) if one.verb == "edit-card"]
    # The last edition counts, whole; both are kept. What the program knows isn't theirs to write.
    assert "licence: MIT" in again and "H1" not in again and len(kept) == 2
    assert again.split("## Written")[0] == shown.split("## Written")[0].replace(f"- merged of {PARENT}\n", "")
    assert told == [("person:ada", "edit-card"), ("person:grace", "edit-card")]


def test_what_people_write_is_a_closed_form(tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_text(TEXT)
    text = read_settings(file, CardText)
    assert (text.hazards[0].risk, text.hazards[0].risk_left) == (3, 2) and text.unacceptable == ()
    for change, says in (
        (("licence", "license"), "unknown key"),
        (('"medium"', '"often"'), "likelihood"),
        (('controls = ["every study is read by a radiologist"]\n', ""), "no control says why"),
    ):
        file.write_text(TEXT.replace(*change))
        with pytest.raises(SettingsRefused, match=says):
            read_settings(file, CardText)


def test_the_matrix_of_risks_is_the_published_one() -> None:
    # DCB0129's hazard log: rows from very high to very low, columns from minor to catastrophic.
    assert risk("catastrophic", "very-high") == 5 and risk("minor", "very-low") == 1
    assert risk("major", "low") == 3 and risk("significant", "high") == 3 and risk("catastrophic", "medium") == 4
    hazard = {"hazard": "x", "effect": "y", "severity": "major", "likelihood": "high", "owner": "z"}
    left = {"severity_left": "major", "likelihood_left": "high"}
    twice = [Hazard.model_validate({"name": "H1", **hazard, **left})] * 2
    with pytest.raises(ValidationError, match="twice"):
        CardText.model_validate({"hazards": [one.model_dump() for one in twice]})
    assert [one.name for one in CardText(hazards=(twice[0],)).unacceptable] == ["H1"]
