"""Wires the node: which task goes to which handler, and what runs beside the link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Protocol

from wardround.compute.worker import Worker
from wardround.contracts.outbound import CohortAnswer
from wardround.contracts.task import (
    ConsiderProject,
    CountCohort,
    EndRun,
    EstimateStatistics,
    EvaluateModel,
    JoinLeg,
    TrainAlone,
    WithdrawProject,
    WitnessCheckpoint,
)
from wardround.foundation.clock import Clock, now
from wardround.foundation.files import ObjectStore
from wardround.foundation.loop import Loop
from wardround.learning.packages import Packages
from wardround.node.annotate.forgetting import label_files, sweep
from wardround.node.annotate.server import AnnotationServer
from wardround.node.clinic.labelling import Labelling
from wardround.node.clinic.pathway import Pathway
from wardround.node.clinic.queue import Queue
from wardround.node.clinic.retention import Retention
from wardround.node.cohort.answering import Answering
from wardround.node.deidentify.secret import site_secret
from wardround.node.desk import Desk
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.server import DicomWeb
from wardround.node.evidence.sealed_picture import PictureSeal
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome
from wardround.node.intake import Intake
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import Link
from wardround.node.monitoring.monitor import Monitor
from wardround.node.pages.server import pages_at
from wardround.node.policy.adoption import PolicyWatch, adopt
from wardround.node.policy.leaving import why_not_leaving
from wardround.node.projects.questions import Questions
from wardround.node.projects.telling import Telling
from wardround.node.query.server import QueryServer
from wardround.node.record.witness import Witness
from wardround.node.records.service import HealthRecords
from wardround.node.report.wiring import Reports, shelf_at
from wardround.node.retrieve.wiring import puller_at
from wardround.node.training.assignment import Assignments
from wardround.node.training.checkpoint import notes_in
from wardround.node.training.comparison import Comparison
from wardround.node.training.facts import RecordsPlace
from wardround.node.training.legs import Legs
from wardround.node.training.own import OwnArrays
from wardround.node.training.participant import NodeParticipant
from wardround.node.training.preparation import Preparation
from wardround.node.training.unsealed import remove_unsealed
from wardround.node.training.uses import Uses
from wardround.node.workitems.wiring import opening_at

CATALOGUE_CAUGHT_UP_EVERY = 1.0


class Background(Protocol):
    """Something that runs while the node serves; started before the link, stopped after it, in reverse order."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Node:
    """A node that can be served (`node.serving.run`)."""

    home: NodeHome
    clock: Clock
    gateway: Gateway
    handlers: TaskHandlers
    link: Link
    background: list[Background] = field(default_factory=list)


def build(home: NodeHome, *, clock: Clock = now) -> Node:
    """A node with all its handlers, its database at the newest migration.

    Raises:
        SettingsRefused: its policy is gone, or can't be used.
        NotRemoved: layers that an earlier version left in clear can't be removed.
    """
    home.database.upgrade()
    policy = adopt(home.policy, home.database, home.site, clock)
    remove_unsealed(home.path / "models", home.runs, home.database, clock)
    desk = Desk(home, clock=clock)
    PictureSeal(desk.pseudonyms).seal_what_lies_open(home.database)
    threads = home.settings.learning.threads
    learner = Worker("learning", threads=min(threads, policy.work.threads or threads), nice=policy.work.nice)
    reader, preparing = (Worker(name, threads=threads) for name in ("reading", "preparing"))
    assignments = Assignments(
        home.site,
        home.database,
        desk.place,
        desk.mirror,
        desk.pseudonyms,
        clock,
        home.policy.current,
        threads=threads,
        packages=Packages(home.packages),
        records=RecordsPlace.of(home.path / "omop", home.settings.records),
    )
    uses = Uses(home.database, desk.entries, clock)
    own = desk.own
    notes = notes_in(home.runs, desk.pseudonyms, every=home.settings.learning.checkpoint_seconds)
    participant = NodeParticipant(
        assignments, uses, learner, desk.entries, desk.gateway, home.database, own, clock, notes
    )
    legs = Legs(home, desk.gateway, assignments, participant, on_join=Preparation(uses, learner), clock=clock)
    weights = ObjectStore(home.path / "weights")
    comparison = Comparison(
        assignments,
        uses,
        learner,
        desk.entries,
        desk.gateway,
        home.database,
        weights,
        desk.discloser,
        own,
        clock,
        notes,
    )
    handlers = TaskHandlers()
    witness = Witness(desk.mirror, desk.hub, desk.gateway, clock)
    _answer_questions(handlers, desk, witness)
    _train(handlers, legs, comparison, learner, own)
    intake = Intake(home, clock)
    secret = site_secret(home.identity / "pseudonyms.key", home.database)
    puller = puller_at(home, secret, intake.reception, clock)
    told = partial(_told, home)
    telling = Telling(home.database, desk.entries, desk.gateway, desk.discloser, clock)
    return Node(
        home=home,
        clock=clock,
        gateway=desk.gateway,
        handlers=handlers,
        link=Link(home, desk.gateway, handlers, clock=clock),
        background=[
            learner,
            reader,
            preparing,
            intake,
            told("clinic", _pathway(desk, reader, preparing).tick, _monitor(desk).tick, _retention(desk).tick),
            Loop("labels", [_labelling(desk, reader, intake).tick], pause=30),
            Reports(home, clock),
            told("telling", telling.tick, lambda: desk.entries.submit_waiting(home.database), legs.part),
            Loop("ledger", [witness.tick], pause=60),
            Loop("policy", [PolicyWatch(home.policy, home.database, home.site, clock).tick], pause=1),
            Loop(
                "enclave", [desk.upkeep.tick, lambda: sweep(home.database, label_files(home.path), clock())], pause=30
            ),
            legs,
            puller,
            told("pulls", puller.tick),
            *_viewing(desk, intake, clock),
            HealthRecords(home, clock),
            *pages_at(desk),
        ],
    )


def _told(home: NodeHome, name: str, *ticks: Callable[[], object]) -> Loop:
    """A loop whose work stands in the node's database, so that it rests while nobody writes there."""
    return Loop(name, ticks, pause=0.4, told=home.database)


def _viewing(desk: Desk, intake: Intake, clock: Clock) -> list[Background]:
    """What shows the enclave to viewers at this hospital, and what keeps its catalogue in step; nothing by default."""
    home = desk.home
    web, query = home.settings.dicomweb.enabled, home.settings.query.enabled
    drawn = home.settings.annotation.enabled
    if not (web or query or drawn):
        return []
    catalogue = Catalogue(home.database, ObjectStore(home.enclave / "objects"))
    parts: list[Background] = [
        Loop("catalogue", [catalogue.catch_up], pause=CATALOGUE_CAUGHT_UP_EVERY, told=home.database)
    ]
    if web:
        parts.append(DicomWeb(home, catalogue, intake.reception, clock))
    if web and home.settings.dicomweb.worklist:
        parts.append(_told(home, "workitems", opening_at(home, clock).tick))
    if query:
        parts.append(QueryServer(home, catalogue, clock))
    if drawn:
        parts.append(AnnotationServer(desk.annotation, home.settings.annotation, catalogue, intake.reception, clock))
    return parts


def _answer_questions(handlers: TaskHandlers, desk: Desk, witness: Witness) -> None:
    home, discloser = desk.home, desk.discloser
    answering = Answering(
        home.database,
        desk.census,
        desk.gateway,
        discloser,
        home.settings.cohort,
        desk.clock,
        barred=lambda: why_not_leaving(home.policy, CohortAnswer),
    )

    def catch_up(_task: WitnessCheckpoint) -> None:
        witness.catch_up()

    handlers.register(CountCohort)(answering.answer)
    questions = Questions(home.database, desk.entries, desk.clock)
    handlers.register(ConsiderProject)(questions.consider)
    handlers.register(WithdrawProject)(questions.withdraw)
    handlers.register(WitnessCheckpoint)(catch_up)


def _train(handlers: TaskHandlers, legs: Legs, comparison: Comparison, learner: Worker, own: OwnArrays) -> None:
    def end(task: EndRun) -> None:
        legs.end(task)
        own.end(task.run)
        if not legs.running():
            learner.stop()

    handlers.register(JoinLeg)(legs.join)
    handlers.register(EndRun)(end)
    handlers.register(TrainAlone)(comparison.train_alone)
    handlers.register(EstimateStatistics)(comparison.estimate)
    handlers.register(EvaluateModel)(comparison.evaluate)


def _retention(desk: Desk) -> Retention:
    home = desk.home
    keep = timedelta(days=home.settings.clinic.keep_days)
    return Retention(home.database, home.clinical, home.path / "results", keep, desk.clock)


def _labelling(desk: Desk, reader: Worker, intake: Intake) -> Labelling:
    home = desk.home
    return Labelling(
        home.database,
        desk.deployments.definitions,
        reader,
        home.clinical,
        home.path / "results",
        reception=intake.reception,
        title=home.settings.dicom.ae_title,
        new_uid=desk.pseudonyms.uid,
        clock=desk.clock,
    )


def _monitor(desk: Desk) -> Monitor:
    return Monitor(desk.home.database, desk.entries, desk.home.settings.clinic, desk.clock)


def _pathway(desk: Desk, reader: Worker, preparing: Worker) -> Pathway:
    home = desk.home
    return Pathway(
        home.database,
        desk.deployments,
        reader,
        preparing,
        Queue(home.database, home.clinical, desk.clock),
        shelf_at(home),
        desk.clock,
        threads=home.settings.learning.threads,
    )
