"""What came in, what became of it, and why not: the numbers behind `wardround node intake`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from wardround.foundation.database import Database
from wardround.node.receive.bay import waiting_files
from wardround.node.receive.register import NO_PATH
from wardround.node.receive.state import State
from wardround.node.receive.tables import CommitmentRow, IntakeRule, ReceivedInstance, ReceivedStudy, TurnedAway


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many instances a rule of routing took, each counted once however many paths it went down."""

    name: str
    target: str
    reason: str
    instances: int


@dataclass(frozen=True, slots=True)
class IntakeSummary:
    """Counts since the node was made. An instance that went down both paths counts once on each.

    studies, instances: by path; `none` is what was refused or discarded at the door. states: by path, then state.
    refused: by reason. discarded: by the rule's reason. turned_away: objects of which nothing was kept, or, for
    want of room, nothing for research, by cause. rules: what took how many. commitments: requests for storage
    commitment, by state. late: instances that came after their study was complete. short: complete studies with
    fewer instances than the PACS stated.
    """

    studies: Mapping[str, int]
    instances: Mapping[str, int]
    states: Mapping[str, Mapping[str, int]]
    refused: Mapping[str, int]
    open_studies: int
    late: int
    short: int
    turned_away: Mapping[str, int]
    rules: Sequence[RuleCount]
    commitments: Mapping[str, int]

    @property
    def waiting(self) -> int:
        """Research instances that are neither de-identified nor refused yet."""
        return sum(counts.get(State.RECEIVED.value, 0) for counts in self.states.values())

    @property
    def instances_refused(self) -> int:
        return sum(self.refused.values())

    @property
    def discarded(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for rule in self.rules:
            if rule.target == "discard":
                counts[rule.reason] = counts.get(rule.reason, 0) + rule.instances
        return counts


def intake_summary(database: Database) -> IntakeSummary:
    """The counts as they stand now."""
    instance, study = ReceivedInstance, ReceivedStudy
    with database.reading() as session:
        studies = dict(session.execute(select(study.path, func.count()).group_by(study.path)).all())
        studies.pop(NO_PATH, None)
        states: dict[str, dict[str, int]] = {}
        for path, state, count in session.execute(
            select(instance.path, instance.state, func.count()).group_by(instance.path, instance.state)
        ):
            states.setdefault(path, {})[state] = count
        refused = {
            reason or "unknown": count
            for reason, count in session.execute(
                select(instance.reason, func.count())
                .where(instance.state == State.REFUSED.value)
                .group_by(instance.reason)
                .order_by(instance.reason)
            )
        }
        on_a_path = study.path != NO_PATH
        unfinished = select(func.count()).select_from(study).where(study.completed_at.is_(None), on_a_path)
        late = select(func.count()).select_from(instance).where(instance.late.is_(True), instance.path != NO_PATH)
        arrived = select(func.count()).where(instance.study_id == study.id).scalar_subquery()
        short = select(func.count()).select_from(study).where(study.completed_at.is_not(None), study.stated > arrived)
        taken = (
            select(IntakeRule.name, IntakeRule.target, IntakeRule.reason, func.count(instance.instance_key.distinct()))
            .join(instance, instance.rule_id == IntakeRule.id)
            .group_by(IntakeRule.id, IntakeRule.name, IntakeRule.target, IntakeRule.reason)
            .order_by(IntakeRule.name, IntakeRule.id)
        )
        asked = select(CommitmentRow.state, func.count()).group_by(CommitmentRow.state)
        return IntakeSummary(
            studies=studies,
            instances={path: sum(counts.values()) for path, counts in states.items()},
            states=states,
            refused=refused,
            open_studies=session.scalar(unfinished) or 0,
            late=session.scalar(late) or 0,
            short=session.scalar(short) or 0,
            turned_away=dict(
                session.execute(select(TurnedAway.reason, TurnedAway.count).order_by(TurnedAway.reason)).all()
            ),
            rules=[RuleCount(*row) for row in session.execute(taken)],
            commitments=dict(session.execute(asked).all()),
        )


@dataclass(frozen=True, slots=True)
class DoorState:
    """What the disk says of the front door now: objects and bytes that have landed, or are landing, and aren't in the
    index yet; and the free bytes of the disk beside the reserve below which nothing more is taken."""

    backlog: int
    backlog_bytes: int
    free_bytes: int
    reserve_bytes: int

    @property
    def full(self) -> bool:
        return self.free_bytes < self.reserve_bytes


def door_state(quarantine: Path, *, reserve_bytes: int) -> DoorState:
    """The state of the door of a home, whether its node is serving or not."""
    sizes = []
    for file in waiting_files(quarantine / "incoming"):
        try:
            sizes.append(file.stat().st_size)
        except FileNotFoundError:
            continue
    disk = os.statvfs(quarantine)
    return DoorState(len(sizes), sum(sizes), disk.f_bavail * disk.f_frsize, reserve_bytes)
