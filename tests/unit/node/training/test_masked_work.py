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

PLAN: dict[str, Any] = {
    "rounds": 3,
    "privacy": {"clip_norm": 8.0},
    "masking": {"threshold": 2},
    "compare_alone": False,
}
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


def together(*means: list[float]) -> list[float]:
    return [round(float(value), 5) for value in np.sum(means, axis=0)]


def steps_on_record(node: NodeLab) -> list[tuple[int, str]]:
    return [
        (one.round, "input" if isinstance(one, RunUpdate) else one.step)
        for one in node.wire.recorded
        if isinstance(one, MaskingMessage | RunUpdate)
    ]


def test_the_hub_makes_the_mean_and_never_has_one_hospitals_update(hospitals: Hospitals) -> None:
    run = hospitals.run()

    everybody = ["east", "north", "south"]
    assert hospitals.model(run) == together(*[mean(*everybody)] * 3)
    assert [len(entry.updates) for entry in hospitals.aggregates()] == [3, 3, 3]
    held = [path.read_bytes() for path in hospitals.hub.objects.root.rglob("*") if path.is_file()]
    held.append((hospitals.hub.objects.root.parent / "hub.db").read_bytes())
    for name, change in CHANGED.items():
        node, plain = hospitals.nodes[name], np.float32(change).tobytes()
        learned = sha256(to_bytes({"w": np.float32(change)})).hexdigest()
        assert not any(plain in one or learned.encode() in one for one in held)
        # What the site said it sent is what is on the ledger, and isn't what it learned.
        told = [message.digest for message in node.wire.recorded if isinstance(message, RunUpdate)]
        assert told == [entry.digest for entry in node.ledger() if isinstance(entry, Update)]
        assert len({learned, *told}) == 4, "the same update looks different in every round"
        assert steps_on_record(node) == [(number, step) for number in (1, 2, 3) for step in STEPS]
        with node.database.reading() as session:
            kept = session.scalars(select(MaskedSum).order_by(MaskedSum.round)).all()
            assert [(one.run, one.round, one.survivors) for one in kept] == [(run, n, everybody) for n in (1, 2, 3)]


def test_hospitals_that_are_killed_are_left_out_or_made_up_for_or_end_the_leg(hospitals: Hospitals) -> None:
    """South before its input in round 1, and after it in round 2; two after theirs in round 3, which the next leg does
    again: not even the same update leaves twice under an approval that lets it leave once."""
    ended: list[str] = []

    def kill(site: str, task: RoundTask) -> None:
        if site == "south" and (task.round, task.step) in ((1, "input"), (2, "confirm")):
            raise RuntimeError("killed")
        if site != "east" and (task.round, task.step) == (3, "reveal") and len(ended) < 2:
            ended.append(site)
            raise RuntimeError("killed")

    hospitals.before = kill
    run = hospitals.run()

    everybody = mean("east", "north", "south")
    assert hospitals.model(run) == together(mean("east", "north"), everybody, everybody)
    assert [len(entry.updates) for entry in hospitals.aggregates()] == [2, 3, 3]
    assert sorted(ended) == ["north", "south"]
    assert steps_on_record(hospitals.nodes["east"])[10:] == [(3, step) for step in (*STEPS, *STEPS)]


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
            task = task_of(self._hospitals.asked, leg_id=f"{self._run}.{leg}", step=step, arrays=told(site))
            take(site, content(self._hospitals.nodes[site].participant.take_part(task).update))


def test_a_sum_of_others_isnt_unmasked_after_one_was(hospitals: Hospitals) -> None:
    """The hub says that round 1 was lost, or is of another run, and has it done without south: the difference would be
    south's."""
    everybody = together(mean("east", "north", "south"))

    assert LyingHub(hospitals, "glioma-1").sum_of(1, ["east", "north", "south"]) == everybody
    for run, leg in (("glioma-1", 2), ("glioma-2", 1)):
        with pytest.raises(Declined, match="other-survivors-before"):
            LyingHub(hospitals, run).sum_of(leg, ["east", "north"])
    again = LyingHub(hospitals, "glioma-1").sum_of(3, ["east", "north", "south"])
    assert again == everybody, "the same sum tells nothing new"


def task_of(asked: Project, **said: Any) -> RoundTask:
    plan = {"project": asked.id, "project_digest": asked.content_digest()}
    leg = str(said.get("leg_id", "glioma-1.1"))
    return replace(RoundTask(leg.partition(".")[0], leg, 1, 3, plan, START, "delta"), **said)


def reason(node: NodeLab, **said: Any) -> str:
    with pytest.raises(Declined) as declined:
        node.participant.take_part(task_of(project(**PLAN), **said))
    return declined.value.reason


def test_a_hospital_alone_keeps_to_its_plan_to_the_order_of_steps_and_to_its_approval(
    lab: NodeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = project(**PLAN)
    lab.fill()
    lab.agree(asked)

    assert reason(lab) == "not-the-approved-plan", "what was approved masked isn't given unmasked"
    for step in STEPS[1:]:
        assert reason(lab, step=step) == "out-of-turn"
    assert lab.worker.calls == []

    lab.participant.take_part(task_of(asked, step="advertise"))
    assert reason(lab, step="share", round=2) == "out-of-turn"
    assert reason(lab, step="share", leg_id="glioma-1.2") == "out-of-turn"
    lab.participant.abort("glioma-1.1", "contact was lost")
    assert reason(lab, step="share") == "out-of-turn", "its secrets are gone with the leg"

    with monkeypatch.context() as patched:
        # The hub announced this hospital anew, with a key of its own.
        strange = lab.entries.known_keys() | {lab.site: bytes(32)}
        patched.setattr(lab.entries, "known_keys", lambda: strange)
        assert reason(lab, step="advertise") == "ledger-key-differs"

    kinds = lab.policy
    lab.policy = Policy.model_validate({"leaving": {"kinds": ["engine-traffic", "run-update", "evaluation-result"]}})
    assert reason(lab, step="advertise") == "message-not-allowed"
    lab.policy = kinds

    lab.participant.take_part(task_of(asked, step="advertise"))
    lab.withdraw(asked.id)
    assert reason(lab, step="share") == "withdrawn", "nothing of a round leaves after a withdrawal"
