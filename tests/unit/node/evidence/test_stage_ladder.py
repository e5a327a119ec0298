"""A model climbs one stage at a time, on current evidence of this hospital, by different people of the roles asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.unit.node.projects.node_lab import NodeLab, beside_a_hub

from wardround.contracts.evidence import OfflineValidation, ShadowUse
from wardround.contracts.ledger_entry import Promotion, read_signed_entry
from wardround.contracts.model_card import CardText, Hazard
from wardround.contracts.stage import EVIDENCE, LADDER, STAGES, EvidenceKind, StageName
from wardround.foundation.errors import NotAllowed
from wardround.node.audit import Audit
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.card import card_of, write
from wardround.node.evidence.ladder import Approver, Model, NotYet, lacking_approvers
from wardround.node.evidence.promotion import Standing, agree, standing
from wardround.node.evidence.shelf import entry_of, keep, keep_and_tell
from wardround.node.record.tables import OutgoingEntry
from wardround.people.roles import Role

PACKAGE, WEIGHTS = "a" * 64, "b" * 64
MODEL = Model(PACKAGE, WEIGHTS, "brain")
OFFICER = Approver("person:ada", frozenset({"safety-officer"}))
LEAD = Approver("person:grace", frozenset({"pathway-lead"}))
BOTH = Approver("person:both", frozenset({"safety-officer", "pathway-lead"}))


HAZARD = Hazard(
    name="H1",
    hazard="it isn't read",
    effect="harm",
    severity="catastrophic",
    likelihood="medium",
    controls=("a radiologist reads every study",),
    severity_left="catastrophic",
    likelihood_left="very-low",
    owner="lead",
)


class Ladder(NodeLab):
    """A hospital where one model is in use, with a hazard log."""

    def use(self, stage: str = "shadow", *, active: bool = True) -> None:
        self.log(HAZARD)
        with self.database.writing() as session:
            session.add(
                Deployment(
                    model=PACKAGE,
                    package="brain-mri-glioma",
                    pathway="brain",
                    stage=stage,
                    active=active,
                    deployed_by="person:ada",
                    deployed_at=self.clock(),
                )
            )

    def put(self, stage: StageName) -> None:
        with self.database.writing() as session:
            self.row(session).stage = stage

    def log(self, *hazards: Hazard) -> None:
        with self.database.writing() as session:
            write(session, PACKAGE, CardText(hazards=hazards), actor="person:ada", at=self.clock())

    def offline(self, *, model: str = WEIGHTS, patients: int = 5, told: bool = True, label: str = "federated") -> None:
        outcomes = {f"P{number}": (0.5 + number / 100,) for number in range(patients)}
        record = OfflineValidation(
            run="r-1", label=label, model=model, pathway="brain-mri-glioma", metric="dice", outcomes=outcomes
        )
        entry = self.entries.put(entry_of(record, "offline", self.entries.site, self.clock())) if told else None
        with self.database.writing() as session:
            keep(session, record, at=self.clock(), actor="program", entry=entry)

    def shadow(self, *, studies: int = 40, pathway: str = "brain", model: str = PACKAGE, tell: bool = True) -> None:
        record = ShadowUse(
            model=model,
            pathway=pathway,
            since=self.clock() - timedelta(days=30),
            until=self.clock(),
            studies=studies,
            read=studies,
            flagged=0,
            failed={},
            out_of_scope=0,
            seconds_p50=2.0,
            seconds_p95=4.0,
            seen=0,
        )
        with self.database.writing() as session:
            keep_and_tell(session, record, "shadow", self.entries, at=self.clock(), actor="person:ada")
        if tell:
            self.entries.submit_waiting(self.database)

    def row(self, session: Session) -> Deployment:
        return session.scalars(select(Deployment)).one()

    def agree(self, person: Approver, stage: StageName = "prioritisation") -> Standing:
        with self.database.writing() as session:
            return agree(session, self.row(session), MODEL, stage, person, self.entries, at=self.clock())

    def refused(self, person: Approver = OFFICER, stage: StageName = "prioritisation") -> str:
        with pytest.raises(NotAllowed) as raised:
            self.agree(person, stage)
        return raised.value.code

    def stage(self) -> str:
        with self.database.reading() as session:
            return self.row(session).stage

    def promotions(self) -> list[Promotion]:
        with self.database.reading() as session:
            kept = [row for row in session.scalars(select(OutgoingEntry)) if row.kind == "promotion"]
        found = [read_signed_entry(row.signed).entry for row in kept]
        return [entry for entry in found if isinstance(entry, Promotion)]


@pytest.fixture
def ladder(tmp_path: Path) -> Iterator[Ladder]:
    with beside_a_hub(tmp_path, Ladder) as found:
        yield found


def test_it_climbs_once_two_people_agreed_on_its_evidence_and_the_ledger_names_both(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    ladder.shadow()
    first = ladder.agree(OFFICER)
    assert (ladder.stage(), [one.code for one in first.missing]) == ("shadow", ["no-approver"])
    assert "pathway-lead" in first.missing[0].words
    assert ladder.promotions() == []
    assert ladder.agree(LEAD).missing == ()
    assert ladder.stage() == "prioritisation"
    [entry] = ladder.promotions()
    assert (entry.model, entry.pathway, entry.stage) == (PACKAGE, "brain", "prioritisation")
    assert len(entry.evidence) == 2
    # The hub takes it: what it names is there, and of this model.
    ladder.entries.submit_waiting(ladder.database)
    with ladder.database.reading() as session:
        assert ladder.entries.standing(session) == (0, {})
    with ladder.database.reading() as session:
        told = [(row.actor, row.verb) for row in session.scalars(select(Audit).order_by(Audit.id))]
    wanted = [("person:ada", "agree-to-stage"), ("person:grace", "agree-to-stage"), ("person:grace", "promote-model")]
    assert [one for one in told if one[1] in ("agree-to-stage", "promote-model")] == wanted


def test_one_person_is_one_approver_whatever_roles_they_hold(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    ladder.shadow()
    ladder.agree(BOTH)
    ladder.agree(BOTH)
    assert ladder.stage() == "shadow"
    ladder.agree(OFFICER)
    assert ladder.stage() == "prioritisation"


def test_who_holds_no_role_that_the_stage_asks_has_no_say(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    ladder.shadow()
    assert ladder.refused(Approver("person:eve", frozenset({"radiologist", "engineer"}))) == "wrong-role"


def test_new_evidence_asks_everybody_anew(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    ladder.shadow()
    ladder.agree(OFFICER)
    ladder.door.clock.time += timedelta(days=1)
    ladder.shadow(studies=60)
    ladder.agree(LEAD)
    assert ladder.stage() == "shadow"
    ladder.agree(OFFICER)
    assert ladder.stage() == "prioritisation"


@pytest.mark.parametrize(
    ("kind", "how", "code"),
    [
        ("offline-validation", "none", "no-evidence"),
        ("offline-validation", "other-model", "no-evidence"),
        ("offline-validation", "personal", "no-evidence"),
        ("offline-validation", "stale", "evidence-stale"),
        ("offline-validation", "few", "too-few"),
        ("offline-validation", "untold", "evidence-not-told"),
        ("shadow-use", "none", "no-evidence"),
        ("shadow-use", "other-model", "no-evidence"),
        ("shadow-use", "other-pathway", "no-evidence"),
        ("shadow-use", "stale", "evidence-stale"),
        ("shadow-use", "few", "too-few"),
        ("shadow-use", "untold", "evidence-not-told"),
    ],
)
def test_evidence_that_is_missing_or_not_current_is_named_and_nobody_can_agree(
    ladder: Ladder, kind: EvidenceKind, how: str, code: str
) -> None:
    ladder.use()
    other: dict[str, Any] = {
        "other-model": {"model": "c" * 64},
        "other-pathway": {"pathway": "lung"},
        "personal": {"label": "personal"},
    }.get(how, {})
    ways: dict[str, dict[str, Any] | None] = {
        "none": None,
        "few": {"patients": 0},
        "untold": {"told": False},
        "stale": {},
    }
    if kind == "offline-validation":
        found = other or ways[how]
        if found is not None:
            ladder.offline(**found)
        if how == "stale":
            ladder.door.clock.time += timedelta(days=EVIDENCE[kind].days + 1)
        ladder.shadow()
    else:
        ways |= {"few": {"studies": EVIDENCE[kind].fewest - 1}, "untold": {"tell": False}}
        found = other or ways[how]
        if found is not None:
            ladder.shadow(**found)
        if how == "stale":
            ladder.door.clock.time += timedelta(days=EVIDENCE[kind].days + 1)
        ladder.offline()
    with pytest.raises(NotYet) as raised:
        ladder.agree(OFFICER)
    assert [one.code for one in raised.value.missing] == [code]
    assert kind in str(raised.value)
    assert ladder.stage() == "shadow" and ladder.promotions() == []


def test_no_stage_is_reached_but_from_the_one_below(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    ladder.shadow()
    following = dict(pairwise(LADDER))
    for at, to in product(LADDER, STAGES):
        ladder.put(at)
        with ladder.database.reading() as session:
            found = standing(session, ladder.row(session), MODEL, to, ladder.clock())
        steps = {one.code for one in found.missing} & {"not-next", "not-a-rung"}
        if following.get(at) == to:
            assert steps == set(), (at, to)
        else:
            assert steps == ({"not-next"} if to in LADDER else {"not-a-rung"}), (at, to)
            assert ladder.refused(stage=to) in {"not-next", "not-a-rung"}


def test_a_hazard_of_unacceptable_risk_keeps_the_stage_shut_until_the_log_says_what_is_done(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    ladder.shadow()
    ladder.log(HAZARD.model_copy(update={"likelihood_left": "medium"}))
    assert ladder.refused() == "hazard-open"
    ladder.log(HAZARD)
    ladder.agree(OFFICER)
    with ladder.database.reading() as session:
        shown = card_of(session, MODEL, 0)
    assert "offline-validation" in shown and "By person:ada" in shown and "| H1 |" in shown


LOGGED = [name for name in LADDER if STAGES[name].hazard_log]


def test_every_stage_that_two_people_open_asks_for_a_hazard_log() -> None:
    assert [name for name in LADDER if len(STAGES[name].approvers) == 2 and not STAGES[name].either] == LOGGED


def test_without_a_hazard_log_no_stage_that_people_rely_on_opens(ladder: Ladder) -> None:
    ladder.use()
    ladder.log()
    for stage in LOGGED:
        ladder.put(LADDER[LADDER.index(stage) - 1])
        with ladder.database.reading() as session:
            found = standing(session, ladder.row(session), MODEL, stage, ladder.clock())
        assert "no-hazard-log" in [one.code for one in found.missing], stage


def test_who_agreed_accepted_the_hazard_log_as_it_was_and_is_asked_anew_once_it_changed(ladder: Ladder) -> None:
    ladder.use()
    ladder.offline()
    ladder.shadow()
    ladder.agree(OFFICER)
    ladder.log(HAZARD, HAZARD.model_copy(update={"name": "H2"}))
    still = ladder.agree(LEAD)
    assert "safety-officer" in still.missing[0].words and ladder.stage() == "shadow"
    ladder.agree(OFFICER)
    assert ladder.stage() == "prioritisation"


def test_a_model_out_of_use_goes_nowhere(ladder: Ladder) -> None:
    ladder.use(active=False)
    ladder.offline()
    ladder.shadow()
    assert ladder.refused() == "not-in-use"


def test_every_stage_says_what_it_never_does_and_the_higher_ones_ask_two_people() -> None:
    for name, stage in STAGES.items():
        assert stage.shows and stage.to and stage.never
        assert set(stage.approvers) <= {role.value for role in Role}
        if name in LADDER[LADDER.index("prioritisation") :]:
            assert len(stage.approvers) == 2 and not stage.either
            assert set(STAGES["shadow"].needs) < set(stage.needs)
    assert all(STAGES[name].banner for name in ("shadow", "prioritisation", "triage"))


def test_people_fill_roles_each_one_of_them() -> None:
    people = [OFFICER, LEAD, BOTH]
    for number in range(4):
        for chosen in combinations(people, number):
            could = len(chosen) >= 2
            assert all((lacking_approvers(stage, chosen) == ()) is could for stage in LOGGED)
            assert (lacking_approvers("shadow", chosen) == ()) is (len(chosen) >= 1)
