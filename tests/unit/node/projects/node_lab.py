"""One hospital's decisions and work over a real hub's handlers, ledger and database; only the network is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar, cast

import pytest
from tests.front_door import SECRET, FrontDoor, studies
from tests.unit.hub.runs.run_lab import ORIGIN, RunLab

from wardround.contracts.approval_limits import ApprovalLimits
from wardround.contracts.ledger_entry import Entry
from wardround.contracts.outbound import Message, Reply
from wardround.contracts.project import Project
from wardround.contracts.task import EstimateStatistics, EvaluateModel, JoinLeg, TrainAlone
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.federation.engine import Declined, RoundTask
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.foundation.files import ObjectStore
from wardround.hub.api.exchange import Exchange
from wardround.hub.cohorts import handlers as cohort_handlers
from wardround.hub.projects import handlers as project_handlers
from wardround.hub.record.handlers import LedgerDesk
from wardround.hub.runs import handlers as run_handlers
from wardround.learning.packages import Packages
from wardround.ledger import store
from wardround.ledger.mirror import Mirror
from wardround.node.cohort.answering import Answering
from wardround.node.cohort.counting import EnclaveCounting
from wardround.node.cohort.disclosure import Discloser
from wardround.node.cohort.noise import PersonWords
from wardround.node.desk import Desk
from wardround.node.gateway.errors import HubRefused, HubUnreachable
from wardround.node.gateway.gateway import checked
from wardround.node.policy.rules import Policy
from wardround.node.projects import approval, queries
from wardround.node.projects.states import DecisionState
from wardround.node.projects.tables import Decision, ProjectRow
from wardround.node.projects.telling import Telling
from wardround.node.record.entries import SiteEntries
from wardround.node.record.witness import Witness
from wardround.node.settings import CohortSettings
from wardround.node.training.assignment import Assignments
from wardround.node.training.checkpoint import notes_in
from wardround.node.training.cohort import EnclavePlace
from wardround.node.training.comparison import Comparison
from wardround.node.training.learner import Lesson
from wardround.node.training.legs import Legs
from wardround.node.training.own import OwnArrays
from wardround.node.training.participant import NodeParticipant
from wardround.node.training.uses import Uses

SITE = "north"


class Closing(Protocol):
    def close(self) -> None: ...


Hospital = TypeVar("Hospital", bound=Closing)


@contextmanager
def beside_a_hub(folder: Path, make: Callable[[Path, RunLab], Hospital]) -> Iterator[Hospital]:
    """A hospital with a hub beside it, each in a folder of its own."""
    for name in ("hub", "node"):
        (folder / name).mkdir()
    with closing(RunLab(folder / "hub")) as hub, closing(make(folder / "node", hub)) as hospital:
        yield hospital


class Wire:
    """The gateway's place: every message goes through its contract to the hub's own handler.

    `cut(message)` may say that the connection broke "before" or "after" the hub did what was asked.
    """

    def __init__(self, hub: RunLab, site: str) -> None:
        self.sent: list[Message] = []
        self.recorded: list[Message] = []
        self.cut: Callable[[Message], str | None] = lambda _: None
        self._exchange = Exchange()
        project_handlers.register(self._exchange)
        cohort_handlers.register(self._exchange)
        run_handlers.register(self._exchange)
        LedgerDesk(hub.log).register(self._exchange)
        self._caller = SimpleNamespace(
            site=site, actor=f"site:{site}", database=hub.database, objects=hub.objects, now=hub.clock
        )

    def send(self, message: Message, attachment: bytes = b"", *, patience: float = 0) -> tuple[Reply, bytes]:
        checked(message, len(attachment), 2**31)
        when = self.cut(message)
        if when == "before":
            raise HubUnreachable("a test")
        self.sent.append(message)
        try:
            answer = cast(Any, self._exchange)._handlers[type(message)](self._caller, message, attachment)
        except NotAllowed as error:
            raise HubRefused(str(error), code=error.code) from None
        if when == "after":
            raise HubUnreachable("a test")
        return answer if isinstance(answer, tuple) else (answer, b"")

    def record(self, message: Message, size: int, *, answer_bytes: int | None = None) -> None:
        checked(message, size, 2**31)
        self.recorded.append(message)


class ToyWorker:
    """The learning process's place: counts its calls and gives the same lesson each time."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.raises: Exception | None = None
        self.lesson = Lesson(b"new weights", sha256(b"new weights").hexdigest(), 30, 0.5, "dice", 0.25, 13, 4)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.calls.append((function, *arguments))
        if self.raises is not None:
            raise self.raises
        return self.lesson

    def stop(self) -> None:
        """Nothing runs."""


class NodeLab:
    def __init__(self, folder: Path, hub: RunLab, site: str = SITE) -> None:
        self.hub = hub
        self.site = site
        hub.join(site)
        self.door = FrontDoor(folder)
        self.clock = self.door.clock
        self.database = self.door.database
        self.key = hub.hospitals[site].key
        self.wire = Wire(hub, site)
        gateway = cast(Any, self.wire)
        self.mirror = Mirror(self.database, site, hub.log.verifier, self.key)
        self.entries = SiteEntries(site, self.key, ORIGIN, gateway, self.mirror, clock=self.clock)
        self.witness = Witness(self.mirror, hub.log.verifier, gateway, self.clock)
        self.discloser = Discloser(PersonWords(SECRET))
        self.telling = Telling(self.database, self.entries, gateway, self.discloser, self.clock)
        counting = EnclaveCounting(self.database, self.discloser.words)
        self.answering = Answering(self.database, counting, gateway, self.discloser, CohortSettings(), self.clock)
        self.worker = ToyWorker()
        place = EnclavePlace("", self.door.objects.root, folder / "volumes")
        keys = PseudonymKeys(SECRET)
        self.policy = Policy()
        self.assignments = Assignments(
            site,
            self.database,
            place,
            self.mirror,
            keys,
            self.clock,
            lambda: self.policy,
            threads=1,
            packages=Packages(folder / "packages"),
        )
        self.uses = Uses(self.database, self.entries, self.clock)
        self.own = OwnArrays(folder / "runs", keys)
        self.notes = notes_in(folder / "runs", keys, every=30)
        self.participant = NodeParticipant(
            self.assignments,
            self.uses,
            cast(Any, self.worker),
            self.entries,
            gateway,
            self.database,
            self.own,
            self.clock,
            self.notes,
        )

    @property
    def desk(self) -> Desk:
        policy = SimpleNamespace(current=lambda: self.policy)
        home = SimpleNamespace(database=self.database, policy=policy)
        made = SimpleNamespace(home=home, cases=self.door.enclave.find, entries=self.entries, clock=self.clock)
        return cast(Desk, made)

    @property
    def models(self) -> ObjectStore:
        """The models that this hospital holds."""
        return ObjectStore(self.door.home / "weights")

    @property
    def comparison(self) -> Comparison:
        return Comparison(
            self.assignments,
            self.uses,
            cast(Any, self.worker),
            self.entries,
            cast(Any, self.wire),
            self.database,
            self.models,
            self.discloser,
            self.own,
            self.clock,
            self.notes,
        )

    @property
    def legs(self) -> Legs:
        """For what is refused, or seated by hand: without a home no engine is started."""
        home, wire = cast(Any, SimpleNamespace()), cast(Any, self.wire)
        return Legs(home, wire, self.assignments, self.participant, lambda *_: None, self.clock)

    def refusals(self, project: Project, digest: str | None = None) -> set[str]:
        """The codes with which each kind of work for that edition is refused; no work was begun and nothing left."""
        sent, calls = len(self.wire.sent), len(self.worker.calls)
        codes = set()
        with pytest.raises(Declined) as declined:
            self.participant.take_part(task(project, digest=digest))
        codes.add(declined.value.reason)
        digest = digest or project.content_digest()
        asked: dict[str, Any] = {"project": project.id, "project_digest": digest, "run": "glioma-1"}
        for do in (
            lambda: self.comparison.train_alone(TrainAlone(**asked, rounds=1)),
            lambda: self.comparison.evaluate(EvaluateModel(**asked, model="a" * 64, label="federated")),
            lambda: self.comparison.estimate(EstimateStatistics(**asked, model="a" * 64, merge=1)),
            lambda: self.legs.join(JoinLeg(**asked, leg=1, engine_host="127.0.0.1", engine_port=1)),
        ):
            with pytest.raises(WardroundError) as refused:
                do()
            codes.add(refused.value.code)
        assert len(self.worker.calls) == calls
        assert len(self.wire.sent) == sent
        return codes

    def fill(self, patients: int = 2) -> None:
        for study in studies(patients):
            self.door.give_study(study)
        self.door.tick()

    def consider(self, project: Project) -> None:
        from wardround.node.projects import actions

        with self.database.writing() as session:
            actions.consider(session, project, at=self.clock())

    def approve(self, project: str, **limits: Any) -> int:
        digest = self.row(project).digest
        said = ApprovalLimits(**limits)
        return approval.approve(self.desk, project, digest, limits=said, actor="person:controller")

    def refuse(self, project: str, reason: str) -> None:
        approval.refuse(self.desk, project, self.row(project).digest, reason, actor="person:controller")

    def withdraw(self, project: str, reason: str = "board-decided") -> None:
        approval.withdraw(self.desk, project, reason, actor="person:controller")

    def catch_up(self) -> None:
        """The hub publishes a checkpoint; this site mirrors, cosigns and hears of the quorum."""
        with self.hub.database.writing() as session:
            self.hub.log.checkpoint(session, self.hub.clock())
        self.witness.catch_up()
        with self.hub.database.reading() as session:
            note = self.hub.log.published(session)
        assert note is not None
        self.mirror.observe(note, self.clock())

    def agree(self, project: Project, **limits: Any) -> None:
        """From the hub's submission to a manifest that a quorum cosigned."""
        self.hub.submit(project)
        self.consider(project)
        self.approve(project.id, **limits)
        self.telling.tick()
        self.catch_up()

    def row(self, project: str) -> ProjectRow:
        with self.database.reading() as session:
            return queries.row_of(session, project)

    def decision(self, project: str) -> Decision:
        with self.database.reading() as session:
            found = queries.decision_of(session, queries.row_of(session, project))
        assert found is not None
        return found

    def state(self, project: str) -> DecisionState:
        return approval.standing_now(self.desk, project).state

    def ledger(self) -> list[Entry]:
        """The entries by this site."""
        with self.hub.database.reading() as session:
            found = [store.entry(session, index) for index in range(self.hub.log.size(session))]
        return [entry for entry in found if entry is not None and entry.origin == self.site]

    def close(self) -> None:
        self.door.close()


def task(project: Project, *, round_number: int = 1, digest: str | None = None, total: int | None = None) -> RoundTask:
    plan = {"project": project.id, "project_digest": digest or project.content_digest()}
    return RoundTask("glioma-1", "glioma-1.1", round_number, total or project.plan.rounds, plan, b"weights", "delta")
