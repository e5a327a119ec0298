"""A hub's runs without a network: its database and ledger, the engine of one process, and toy hospitals."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from wardround.contracts.approval_limits import ApprovalLimits
from wardround.contracts.cohort_builder import imaging, patients
from wardround.contracts.data_use import DataUse
from wardround.contracts.disclosure import Count
from wardround.contracts.lawful_basis import LawfulBasis
from wardround.contracts.ledger_entry import Approval, Entry, Evidence, Manifest, Member, Update, Use, alone_run
from wardround.contracts.metric import MetricName
from wardround.contracts.outbound import EvaluationResult, LocalModel, ProjectDecision, TaskReport
from wardround.contracts.project import Project
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.standard_project import usual_leaves
from wardround.contracts.task import TASK, EvaluateModel, TrainAlone
from wardround.federation.engine import LegState, RoundTask, RoundUpdate
from wardround.federation.inprocess import InProcessEngine
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore
from wardround.hub.projects import actions as projects
from wardround.hub.registry.registration import Package, Registration
from wardround.hub.runs import actions, intake, queries
from wardround.hub.runs.coordinator import RunCoordinator, leg_name
from wardround.hub.runs.driver import EngineAddress, RunDriver
from wardround.hub.runs.merging import Merging
from wardround.hub.runs.states import RunState
from wardround.hub.runs.tables import RunRow
from wardround.hub.sites.tables import Site
from wardround.hub.tasks.actions import report
from wardround.hub.tasks.tables import QueuedTask
from wardround.learning.arrays import from_bytes, to_bytes
from wardround.learning.bundle import bundle_digest, packaged
from wardround.learning.packages import Packages
from wardround.ledger import store
from wardround.ledger.envelope import sign_entry
from wardround.ledger.log import Log
from wardround.ledger.note import SignatureType, Verifier

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORIGIN = "wardround/testing"
PACKAGE = "brain-mri-glioma"
START = to_bytes({"w": np.zeros(2, dtype=np.float32)})
Step = Callable[["Hospital", RoundTask], None]


def weights(value: float) -> bytes:
    return to_bytes({"w": np.full(2, value, dtype=np.float32)})


def project(name: str = "glioma", *, runs: int = 3, **plan: object) -> Project:
    package = {"package": PACKAGE, "package_digest": bundle_digest(packaged(PACKAGE))}
    asked: dict[str, object] = {**package, "rounds": 2, "quorum": 2, "deadline_seconds": 30, **plan}
    made = RunPlan.model_validate(asked)
    return Project(
        id=name,
        title="Find gliomas",
        purpose="To find them sooner",
        researcher="R. Searcher",
        lawful_basis=LawfulBasis(article_6="6-1-e", article_9="9-2-j"),
        data_use=(DataUse(code="DUO:0000006"),),
        cohort=patients.with_(imaging(modality="MR")).question(),
        plan=made,
        runs=runs,
        leaves=usual_leaves(made, 3),
        ends=date(2030, 1, 1),
    )


@dataclass
class Hospital:
    """A toy site: each round it adds one to the weights and tells the Dice that the aggregate is worth to it."""

    lab: RunLab
    name: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    manifest: int = -1
    entry: int = -1
    dice: Callable[[int], float] = lambda round_number: 0.1 * round_number
    before: Step | None = None
    rounds: list[int] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    def put(self, entry: Entry) -> int:
        with self.lab.database.writing() as session:
            return self.lab.log.append(session, sign_entry(entry, self.key, ORIGIN))

    def use(self, run: str, **said: Any) -> int:
        return self.put(Use(origin=self.name, at=NOON, run=run, manifest=self.manifest, **said))

    def update_entry(self, run: str, round_number: int, update: bytes) -> int:
        digest = sha256(update).hexdigest()
        use = self.use(run, purpose="training", round=round_number)
        return self.put(
            Update(
                origin=self.name,
                at=NOON,
                run=run,
                round=round_number,
                digest=digest,
                manifest=self.manifest,
                use=use,
                steps=10,
            )
        )

    def take_part(self, task: RoundTask) -> RoundUpdate:
        self.rounds.append(task.round)
        if self.before is not None:
            self.before(self, task)
        update = to_bytes({name: array * 0 + 1 for name, array in from_bytes(task.arrays).items()})
        index = self.update_entry(task.run_id, task.round, update)
        return RoundUpdate(
            weight=10.0,
            metrics={str(self.lab.metric): self.dice(task.round)},
            steps=10,
            ledger_index=index,
            update=update,
        )

    def finish(self, leg_id: str, reason: str) -> None:
        self.finished.append(leg_id)

    def abort(self, leg_id: str, reason: str) -> None:
        self.aborted.append(leg_id)


class ToyRegistration(Registration):
    """Packages weights as they are; registering is the real thing."""

    def package(self, run: RunRow, weights: str, parents: tuple[str, ...] = ()) -> Package:
        return Package("toy", sha256(self._objects.get(weights)).hexdigest(), weights)


class RunLab:
    """One hub; `restart` makes a new driver and engine over the same database and objects."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.database = Database(url or f"sqlite:///{folder / 'hub.db'}", migrations="wardround.hub.migrations")
        if self.database.is_sqlite:
            # Whether a commit survives a power cut isn't asked here; waiting for the disk is most of the time.
            event.listen(self.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
        self.database.upgrade()
        self.objects = ObjectStore(folder / "objects")
        self.packages = Packages(folder / "packages")
        self.log = Log(ORIGIN, Ed25519PrivateKey.generate())
        self.now = NOON
        self.metric: MetricName = "dice"
        self.hospitals: dict[str, Hospital] = {}
        self.connected: dict[str, Hospital] = {}
        self.restart()

    def clock(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def restart(self) -> None:
        self.coordinator = RunCoordinator(self.database, self.objects, self.log, self.clock)
        self.engine = InProcessEngine(self.coordinator, self.connected)
        registration = ToyRegistration(self.objects, self.log, self.packages)
        merging, address = Merging(self.objects, self.log), EngineAddress("hub.test", 8445)
        self.driver = RunDriver(self.database, self.engine, address, registration, merging, self.clock)

    @contextmanager
    def killed_in(self, number: int) -> Iterator[InProcessEngine]:
        """Within it a new hub is there while north holds that round of the first leg; afterwards the old engine, which
        it gives, works on."""
        reached, go_on = threading.Event(), threading.Event()

        def hold(_site: Hospital, task: RoundTask) -> None:
            if task.leg_id.endswith(".1") and task.round == number:
                reached.set()
                assert go_on.wait(30)

        self.hospitals["north"].before = hold
        self.driver.tick()
        old = self.engine
        assert reached.wait(30)
        self.objects = ObjectStore(self.objects.root)
        self.restart()
        try:
            yield old
        finally:
            go_on.set()

    def close(self) -> None:
        self.engine.close()
        self.database.close()

    def join(self, *names: str) -> None:
        for name in names:
            site = Hospital(self, name)
            self.hospitals[name] = self.connected[name] = site
            key = site.key.public_key().public_bytes_raw()
            with self.database.writing() as session:
                session.add(Site(name=name, state="member", invited_at=NOON))
                self.log.record(
                    session,
                    Member(
                        origin="hub",
                        at=NOON,
                        site=name,
                        entry_key=b64encode(key).decode(),
                        witness=str(Verifier(name, SignatureType.COSIGNATURE, key)),
                    ),
                )

    def submit(self, asked: Project) -> None:
        with self.database.writing() as session:
            projects.draft(session, asked, actor="operator:test", at=NOON)
            projects.submit(session, asked.id, actor="operator:test", at=NOON)

    def approve(self, asked: Project, *names: str, limits: ApprovalLimits | None = None) -> None:
        """Each of these sites approves, as the node does: entries first, then the decision."""
        digest = asked.content_digest()
        for name in names:
            site = self.hospitals[name]
            said = Approval(origin=name, at=NOON, project=asked.id, project_digest=digest, limits=limits)
            site.entry = site.put(said)
            site.manifest = site.put(
                Manifest(
                    origin=name,
                    at=NOON,
                    project=asked.id,
                    approval=site.entry,
                    people=Count(about=None),
                    commitment="c" * 64,
                )
            )
            decision = ProjectDecision(
                project=asked.id, project_digest=digest, answer="approved", entry=site.entry, people=Count(about=None)
            )
            with self.database.writing() as session:
                projects.take_decision(session, name, decision, said, at=NOON)

    def start(self, asked: str = "glioma") -> str:
        initial = self.objects.put(START)
        with self.database.writing() as session:
            run = actions.start(
                session,
                asked,
                initial=initial,
                engine="inprocess",
                engine_version="1",
                actor="operator:test",
                at=self.clock(),
            )
            return run.id

    def ready(self, *names: str, **plan: object) -> str:
        """Sites that joined and approved, and a run of theirs."""
        asked = project(**plan)
        self.join(*names)
        self.submit(asked)
        self.approve(asked, *names)
        return self.start()

    def row(self, run: str) -> RunRow:
        with self.database.reading() as session:
            return queries.row_of(session, run)

    def state(self, run: str) -> RunState:
        return RunState(self.row(run).state)

    def read(self, question: Callable[[Session], object]) -> object:
        with self.database.reading() as session:
            return question(session)

    def leg(self, run: str) -> str | None:
        """The engine's name of the leg that is open now."""
        with self.database.reading() as session:
            legs = queries.open_legs(session, run)
        return leg_name(run, legs[-1].number) if legs else None

    def drive(self, run: str, *until: RunState, ticks: int = 60) -> RunState:
        """Tick until the run is in one of these states, each leg to its end, and a minute later where none is open."""
        for _ in range(ticks):
            state = self.state(run)
            if state in until:
                return state
            if state is RunState.RUNNING and (leg := self.leg(run)) is not None:
                with suppress(KeyError):  # a leg of an engine before a restart
                    assert self.engine.wait(leg, 30).state is not LegState.RUNNING
            if state is RunState.GATHERING:
                self.now += timedelta(minutes=1)
            self.driver.tick()
        raise AssertionError(f"the run stays {self.state(run)} ({self.row(run).reason})")

    def tasks(self, kind: str, *, state: str = "queued") -> list[tuple[str, int, object]]:
        """Site, number and task, of the tasks of this kind."""
        with self.database.reading() as session:
            rows = session.scalars(
                select(QueuedTask).where(QueuedTask.kind == kind, QueuedTask.state == state).order_by(QueuedTask.number)
            )
            return [(row.site, row.number, TASK.validate_json(row.body)) for row in rows]

    def reported(self, site: str, number: int, outcome: str = "done", reason: str | None = None) -> None:
        told = TaskReport.model_validate({"number": number, "outcome": outcome, "reason": reason})
        with self.database.writing() as session:
            report(session, site, told, now=NOON)

    def send_local(self, site: str, task: TrainAlone, update: bytes) -> None:
        hospital = self.hospitals[site]
        index = hospital.update_entry(alone_run(task.run), 1, update)
        digest = sha256(update).hexdigest()
        message = LocalModel(project=task.project, run=task.run, digest=digest, steps=10, entry=index)
        with self.database.writing() as session:
            intake.take_local_model(session, site, message, update, store.entry(session, index))
        self.objects.put(update)

    def send_judgement(self, site: str, task: EvaluateModel, dice: float, *, patients: int | None = None) -> None:
        use = self.hospitals[site].use(task.run, purpose="judging", model=task.model)
        evidence = Evidence(
            origin=site, at=NOON, model=task.model, pathway="toy", stage="offline", record="d" * 64, use=use
        )
        index = self.hospitals[site].put(evidence)
        message = EvaluationResult(
            project=task.project,
            run=task.run,
            model=task.model,
            label=task.label,
            metric=self.metric,
            score=dice,
            patients=Count(about=patients),
            entry=index,
        )
        with self.database.writing() as session:
            intake.take_evaluation(session, site, message, store.entry(session, index))

    def train_alone(self, *but: str) -> None:
        for site, number, task in self.tasks("train-alone"):
            assert isinstance(task, TrainAlone)
            if site not in but:
                self.send_local(site, task, weights(100 + ord(site[0])))
                self.reported(site, number)

    def judge(self, dice: Callable[[str, EvaluateModel], float], *but: str) -> None:
        for site, number, task in self.tasks("evaluate-model"):
            assert isinstance(task, EvaluateModel)
            if site not in but:
                self.send_judgement(site, task, dice(site, task))
                self.reported(site, number)

    def revoke(self, site: str) -> None:
        with self.database.writing() as session:
            session.get_one(Site, site).state = "revoked"
