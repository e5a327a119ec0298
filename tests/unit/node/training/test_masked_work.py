"""Hospitals' nodes in masked rounds over a real hub's runs, ledger and database; only network and training are toys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from tests.unit.hub.runs.run_lab import START, RunLab, project
from tests.unit.node.projects.node_lab import NodeLab, ToyWorker

from wardround.contracts.ledger_entry import Aggregate, Update
from wardround.contracts.masking import MaskedRound, MaskingStep
from wardround.contracts.outbound import MaskingMessage, RunUpdate
from wardround.contracts.project import Project
from wardround.federation.engine import Declined, RoundTask, RoundUpdate
from wardround.foundation.stored import content
from wardround.hub.runs.states import RunState
from wardround.learning.arrays import digest, from_bytes, to_bytes
from wardround.learning.masking.hub import MaskingHub
from wardround.learning.masking.roster import verify_by
from wardround.ledger import store
from wardround.node.policy.rules import Policy
from wardround.node.training.tables import MaskedSum

PLAN: dict[str, Any] = {"privacy": {"clip_norm": 8.0}, "masking": {"threshold": 2}, "compare_alone": False}
CHANGED = {"east": [1.0, -2.0], "north": [3.0, 0.5], "south": [-4.0, 6.0]}
STEPS = ["advertise", "share", "input", "confirm", "reveal"]


class Lessons(ToyWorker):
    """Every lesson changes the weights by the same."""

    def __init__(self, change: list[float]) -> None:
        super().__init__()
        self.lesson = replace(self.lesson, **taught(change))


def taught(change: list[float]) -> dict[str, Any]:
    update = to_bytes({"w": np.float32(change)})
    return {"update": update, "digest": sha256(update).hexdigest()}


@dataclass
class Hospitals:
    """Three hospitals that approved one project. `before` is called with each task that a site gets; it may fail it."""

    hub: RunLab
    nodes: dict[str, NodeLab]
    asked: Project
    before: Callable[[str, RoundTask], None] = lambda site, task: None

    def run(self, until: RunState = RunState.EVALUATING) -> str:
        run = self.hub.start()
        assert self.hub.drive(run, until, RunState.FAILED) is until
        return run

    def aggregates(self) -> list[Aggregate]:
        with self.hub.database.reading() as session:
            found = [store.entry(session, index) for index in range(self.hub.log.size(session))]
        return [entry for entry in found if isinstance(entry, Aggregate)]

    def model(self, run: str) -> list[float]:
        weights = from_bytes(self.hub.objects.get(self.hub.row(run).current))["w"]
        return [round(float(value), 5) for value in weights]


class Site:
    """A node's participant, as the engine has it."""

    def __init__(self, made: Hospitals, name: str) -> None:
        self._made, self._name = made, name

    def take_part(self, task: RoundTask) -> RoundUpdate:
        self._made.before(self._name, task)
        return self._made.nodes[self._name].participant.take_part(task)

    def finish(self, leg_id: str, reason: str) -> None:
        self._made.nodes[self._name].participant.finish(leg_id, reason)

    def abort(self, leg_id: str, reason: str) -> None:
        self._made.nodes[self._name].participant.abort(leg_id, reason)


@pytest.fixture
def hospitals(tmp_path: Path) -> Iterator[Hospitals]:
    (tmp_path / "hub").mkdir()
    hub = RunLab(tmp_path / "hub")
    asked = project(**PLAN)
    nodes = {}
    for name, change in CHANGED.items():
        (tmp_path / name).mkdir()
        nodes[name] = node = NodeLab(tmp_path / name, hub, name)
        node.participant._worker = Lessons(change)  # type: ignore[assignment]  # as the lab's own stands in for one
        node.fill()
    hub.submit(asked)
    for node in nodes.values():
        node.consider(asked)
        node.approve(asked.id)
        node.telling.tick()
    for _ in range(2):  # the second time each hears of the others' cosignatures
        for node in nodes.values():
            node.catch_up()
    made = Hospitals(hub, nodes, asked)
    for name in nodes:
        hub.connected[name] = Site(made, name)  # type: ignore[assignment]  # in the toy hospital's place
    yield made
    hub.engine.close()
    for node in nodes.values():
        node.close()
    hub.close()


def mean(*sites: str) -> list[float]:
    return [float(value) for value in np.mean([CHANGED[site] for site in sites], axis=0)]


def times(count: int, values: list[float]) -> list[float]:
    return [round(count * value, 5) for value in values]


def test_the_hub_makes_the_mean_and_never_has_one_hospitals_update(hospitals: Hospitals) -> None:
    run = hospitals.run()

    assert hospitals.model(run) == times(2, mean("east", "north", "south"))
    held = [path.read_bytes() for path in hospitals.hub.objects.root.rglob("*") if path.is_file()]
    held.append((hospitals.hub.objects.root.parent / "hub.db").read_bytes())
    for name, change in CHANGED.items():
        plain = to_bytes({"w": np.float32(change)})
        node = hospitals.nodes[name]
        assert not any(np.float32(change).tobytes() in one or sha256(plain).hexdigest().encode() in one for one in held)
        # What the site said it sent is what is on the ledger, and isn't what it learned.
        told = [message for message in node.wire.recorded if isinstance(message, RunUpdate)]
        entries = [entry for entry in node.ledger() if isinstance(entry, Update)]
        assert [one.digest for one in told] == [one.digest for one in entries]
        assert len({one.digest for one in told}) == 2
        assert sha256(plain).hexdigest() not in {one.digest for one in told}
    assert len(hospitals.aggregates()) == 2


def test_every_step_is_in_the_gateways_log_before_it_leaves(hospitals: Hospitals) -> None:
    hospitals.run()
    for node in hospitals.nodes.values():
        steps = [
            (one.round, "input" if isinstance(one, RunUpdate) else one.step)
            for one in node.wire.recorded
            if isinstance(one, MaskingMessage | RunUpdate)
        ]
        assert steps == [(number, step) for number in (1, 2) for step in STEPS]


def test_a_hospital_killed_before_its_input_is_left_out_and_one_killed_after_it_isnt(hospitals: Hospitals) -> None:
    def kill(site: str, task: RoundTask) -> None:
        if site == "south" and (task.round, task.step) in ((1, "input"), (2, "confirm")):
            raise RuntimeError("killed")

    hospitals.before = kill
    run = hospitals.run()

    two, three = mean("east", "north"), mean("east", "north", "south")
    assert hospitals.model(run) == [round(a + b, 5) for a, b in zip(two, three, strict=True)]
    assert [len(entry.updates) for entry in hospitals.aggregates()] == [2, 3]


def test_a_round_without_enough_survivors_is_done_by_the_next_leg(hospitals: Hospitals) -> None:
    """Not even the same update leaves twice under an approval that lets it leave once."""
    failed: list[str] = []

    def kill(site: str, task: RoundTask) -> None:
        if site != "east" and (task.round, task.step) == (1, "reveal") and len(failed) < 2:
            failed.append(site)
            raise RuntimeError("killed")

    hospitals.before = kill
    run = hospitals.run()

    assert hospitals.model(run) == times(2, mean("east", "north", "south"))
    assert sorted(failed) == ["north", "south"]
    assert len(hospitals.aggregates()) == 2


class LyingHub:
    """Has a round done as often as it likes, by whom it likes, over the nodes' own participants."""

    def __init__(self, hospitals: Hospitals, run: str) -> None:
        self._hospitals, self._run = hospitals, run

    def sum_of(self, leg: int, sites: list[str]) -> list[float]:
        log = self._hospitals.hub.log
        about = MaskedRound(
            ledger=log.verifier.name,
            run=self._run,
            leg=f"{self._run}.{leg}",
            round=1,
            project=self._hospitals.asked.content_digest(),
            model=digest(from_bytes(START)),
            threshold=2,
        )
        hub = MaskingHub(about, 2, verify_by(self._hospitals.nodes["north"].entries.known_keys()))
        self._ask(leg, sites, "advertise", lambda _: START, hub.advertised)
        roster = hub.roster()
        self._ask(leg, sites, "share", lambda _: roster, hub.shared)
        hub.close_shares()
        self._ask(leg, sites, "input", hub.shares_for, hub.masked)
        survivors = hub.survivors()
        self._ask(leg, sites, "confirm", lambda _: survivors, hub.confirmed)
        confirmations = hub.confirmations()
        self._ask(leg, sites, "reveal", lambda _: confirmations, hub.revealed)
        hub.unmask()
        return [round(float(value), 5) for value in hub.result()]

    def _ask(
        self,
        leg: int,
        sites: list[str],
        step: MaskingStep,
        told: Callable[[str], bytes],
        take: Callable[[str, bytes], None],
    ) -> None:
        for site in sites:
            task = task_of(self._hospitals, leg_id=f"{self._run}.{leg}", step=step, arrays=told(site))
            take(site, content(self._hospitals.nodes[site].participant.take_part(task).update))


def test_a_sum_of_others_isnt_unmasked_after_one_was(hospitals: Hospitals) -> None:
    """The hub says that round 1 was lost, and has it done again without south: the difference would be south's."""
    hub = LyingHub(hospitals, hospitals.hub.start())
    everybody = times(1, mean("east", "north", "south"))

    assert hub.sum_of(1, ["east", "north", "south"]) == everybody
    with pytest.raises(Declined, match="other-survivors-before"):
        hub.sum_of(2, ["east", "north"])
    assert hub.sum_of(3, ["east", "north", "south"]) == everybody, "the same sum again tells nothing new"


def test_nor_under_the_name_of_another_run_from_the_same_weights(hospitals: Hospitals) -> None:
    LyingHub(hospitals, "glioma-1").sum_of(1, ["east", "north", "south"])
    with pytest.raises(Declined, match="other-survivors-before"):
        LyingHub(hospitals, "glioma-2").sum_of(1, ["east", "north"])


def task_of(hospitals: Hospitals, **said: Any) -> RoundTask:
    plan = {"project": hospitals.asked.id, "project_digest": hospitals.asked.content_digest()}
    leg = str(said.get("leg_id", "glioma-1.1"))
    return replace(RoundTask(leg.partition(".")[0], leg, 1, 2, plan, START, "delta"), **said)


def reason(node: NodeLab, task: RoundTask) -> str:
    with pytest.raises(Declined) as declined:
        node.participant.take_part(task)
    return declined.value.reason


def test_what_was_approved_masked_isnt_given_unmasked(hospitals: Hospitals) -> None:
    node = hospitals.nodes["north"]
    assert reason(node, task_of(hospitals)) == "not-the-approved-plan"
    assert node.participant._worker.calls == []  # type: ignore[attr-defined]  # the toy's


def test_a_step_that_nobody_is_at_isnt_done(hospitals: Hospitals) -> None:
    node = hospitals.nodes["north"]
    for step in STEPS[1:]:
        assert reason(node, task_of(hospitals, step=step)) == "out-of-turn"
    node.participant.take_part(task_of(hospitals, step="advertise"))
    assert reason(node, task_of(hospitals, step="share", round=2)) == "out-of-turn"
    assert reason(node, task_of(hospitals, step="share", leg_id="glioma-1.2")) == "out-of-turn"
    node.participant.abort("glioma-1.1", "contact was lost")
    assert reason(node, task_of(hospitals, step="share")) == "out-of-turn", "its secrets are gone with the leg"


def test_after_a_withdrawal_no_share_leaves(hospitals: Hospitals) -> None:
    def withdraw(site: str, task: RoundTask) -> None:
        if (site, task.step) == ("south", "reveal") and task.round == 1:
            hospitals.nodes["south"].withdraw(hospitals.asked.id)

    hospitals.before = withdraw
    hospitals.hub.start()
    hospitals.hub.driver.tick()
    leg = hospitals.hub.leg("glioma-1")
    assert leg is not None
    hospitals.hub.engine.wait(leg, 30)
    said = [one.step for one in hospitals.nodes["south"].wire.recorded if isinstance(one, MaskingMessage)]
    assert said == ["advertise", "share", "confirm"]


def test_a_policy_that_doesnt_name_these_messages_takes_no_part(hospitals: Hospitals) -> None:
    node = hospitals.nodes["north"]
    node.policy = Policy.model_validate({"leaving": {"kinds": ["engine-traffic", "run-update", "evaluation-result"]}})
    assert reason(node, task_of(hospitals, step="advertise")) == "message-not-allowed"


def test_a_hospital_whose_key_the_ledger_has_otherwise_takes_no_part(
    hospitals: Hospitals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub announced south anew, with a key of its own: that very hospital notices."""
    south = hospitals.nodes["south"]
    strange = south.entries.known_keys() | {"south": bytes(32)}
    monkeypatch.setattr(south.entries, "known_keys", lambda: strange)
    assert reason(south, task_of(hospitals, step="advertise")) == "ledger-key-differs"


def test_what_was_unmasked_is_kept_over_a_restart(hospitals: Hospitals) -> None:
    run = hospitals.run()
    node = hospitals.nodes["north"]
    with node.database.reading() as session:
        kept = session.scalars(select(MaskedSum).order_by(MaskedSum.round)).all()
        assert [(one.run, one.round, one.survivors) for one in kept] == [
            (run, 1, ["east", "north", "south"]),
            (run, 2, ["east", "north", "south"]),
        ]
