"""The way from quarantine into the enclave.

Instances are de-identified as they arrive, in processes of their own (`crew`), and stored in groups. For each group,
each step durable before the next:

1. the de-identified copies go into the object store,
2. the vault remembers who they were,
3. one transaction indexes the copies and sets the instances' states,
4. the originals leave quarantine.

De-identification gives the same bytes for the same object, so that a crash between any two steps is mended by doing
the instances again; an original whose state says that it is done is removed by `Reception.recover`. What a crash
left aside of the object store is removed by `start`.

Under a profile that removes faces, CT and MR slices are done by series, once their study is complete, and each series
is stored whole or not at all; while one of it waits for a person, so do the others.

A study of the enclave is open, and out of every cohort's sight, until its study at the front door is complete and
nothing of it is left to do (`openness`). What waits for a person, or was refused, doesn't keep it open.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore, flush_directory
from wardround.node.deidentify.backlog import Backlog, Item, Task
from wardround.node.deidentify.crew import Crew
from wardround.node.deidentify.openness import close_finished, keep_open, unready
from wardround.node.deidentify.staging import Staging
from wardround.node.deidentify.vault import Vault
from wardround.node.deidentify.work import Clean, End, Outcome, Together, Unfit, Unsure
from wardround.node.enclave.index import Index, IndexConflict
from wardround.node.optout.register import REASON as OPTED_OUT
from wardround.node.optout.register import Register
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance
from wardround.node.review.gate import Gate, Wait, passage
from wardround.node.review.gate import Refuse as RefusedPixels

log = logging.getLogger(__name__)

GROUP = 64
"""How many outcomes are stored with one flush, at most."""
PATIENCE = 0.25
"""Seconds that an outcome waits for others to be stored with."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one call of `tick` did, and how many instances are left to do."""

    deidentified: int
    refused: Mapping[str, int]
    left: int
    waiting: int = 0
    """Instances that were put before a person."""

    @property
    def done(self) -> int:
        return self.deidentified + sum(self.refused.values()) + self.waiting


class Deidentification:
    """Brings what was received for research into the enclave. For one thread.

    Args:
        database: the node's database, upgraded.
        quarantine: the directory given to the `Reception`.
        crew: who de-identifies; its `Bench` writes to `Staging(objects).aside`.
        vault: where identities go.
        objects: the enclave's object store.
        register: who opted out.
        gate: puts objects before a person.
        whole_series: whether faces are removed, for which a whole series is needed.
    """

    def __init__(
        self,
        database: Database,
        *,
        quarantine: Path,
        crew: Crew,
        vault: Vault,
        objects: ObjectStore,
        register: Register,
        gate: Gate | None = None,
        whole_series: bool = False,
        clock: Clock = now,
    ) -> None:
        self._database = database
        self._quarantine = quarantine
        self._crew = crew
        self._vault = vault
        self._staging = Staging(objects)
        self._register = register
        self._gate = gate
        self._clock = clock
        self._backlog = Backlog(database, whole_series=whole_series)
        self._tasks: dict[int, Task] = {}
        self._items: dict[int, Item] = {}
        self._waiting: deque[Task] = deque()

    def start(self) -> None:
        """Tidy up after a crash."""
        self._staging.tidy()
        self.close_studies()

    def tick(self, most: int | None = None, *, stopping: Callable[[], bool] = lambda: False) -> Progress:
        """Do what is there, and what comes while this runs, `most` instances at most.

        What can't be de-identified stays in quarantine, with its reason. An error of the disk or of a database
        is raised and leaves the rest for the next call.
        """
        counts: Counter[str] = Counter()
        self._backlog.reopen(self._clock())
        try:
            self._run(counts, most, stopping)
        finally:
            if self._items:
                # Stopped, or failed half-way: what has no end yet is fetched again by the next call.
                self._crew.stop()
                self._staging.tidy()
            self._items.clear()
            self._tasks.clear()
            self._waiting.clear()
            self._backlog.restart()
        deidentified, waiting = counts.pop(State.DEIDENTIFIED.value, 0), counts.pop(State.REVIEW.value, 0)
        for reason, number in sorted(counts.items()):
            log.warning("%d instances were refused: %s", number, reason)
        return Progress(deidentified, dict(counts), self._backlog.left(), waiting)

    def close_studies(self) -> int:
        """Let cohorts see the studies that are complete and done; returns how many became ready."""
        with self._database.reading() as session:
            if session.scalar(unready().limit(1)) is None:
                return 0
        with self._database.writing() as session:
            return close_finished(session)

    def stop(self) -> None:
        self._crew.stop()
        self._staging.close()

    def _run(self, counts: Counter[str], most: int | None, stopping: Callable[[], bool]) -> None:
        """Keep the crew busy, and have one group stored at a time beside it."""
        taken = 0
        outcomes: list[End] = []
        since = 0.0
        storing: Future[Counter[str]] | None = None
        with ThreadPoolExecutor(1, "storing") as beside:
            while not stopping():
                room = self._crew.room
                if not self._waiting and room and (most is None or taken < most):
                    tasks = self._backlog.next(GROUP * 2 if most is None else min(GROUP * 2, most - taken))
                    taken += sum(len(task.items) for task in tasks)
                    self._waiting.extend(tasks)
                given = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
                self._begin(given)
                self._crew.give([task.job for task in given])
                new = [end for outcome in self._crew.outcomes(PATIENCE) for end in self._ends(outcome)]
                if new and not outcomes:
                    since = time.monotonic()
                outcomes += new
                idle = not self._crew.busy and not self._waiting
                if storing is not None and (idle or storing.done()):
                    counts.update(storing.result())
                    storing = None
                due = idle or len(outcomes) >= GROUP or time.monotonic() - since >= PATIENCE
                if storing is None and outcomes and due:
                    storing = beside.submit(self._store, outcomes)
                    outcomes = []
                elif idle and storing is None and not given:
                    return

    def _begin(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._tasks[task.job.id] = task
            self._items |= {item.id: item for item in task.items}

    def _ends(self, outcome: Outcome) -> Sequence[End]:
        """What became of each object that an outcome is about; what came to no end is forgotten until later."""
        task = self._tasks.pop(outcome.job)
        if isinstance(outcome, Together):
            ended = {end.job for end in outcome.ends}
            for item in task.items:
                if item.id not in ended:
                    del self._items[item.id]
            return outcome.ends
        if isinstance(outcome, Unfit):
            return [Unfit(item.id, outcome.reason) for item in task.items]
        return [outcome]

    def _store(self, outcomes: Sequence[End]) -> Counter[str]:
        """Store a group; returns how many came to which end."""
        items = [self._items[outcome.job] for outcome in outcomes]
        clean = {each.job: each for each in outcomes if isinstance(each, Clean)}
        refused = {each.job: each.reason for each in outcomes if isinstance(each, Unfit)}
        waits: dict[int, Wait] = {}
        for each in outcomes:
            if isinstance(each, Unsure):
                pixels = passage(each.screening, each.facts)
                if isinstance(pixels, Wait) and self._gate is not None:
                    waits[each.job] = pixels
                else:
                    refused[each.job] = (
                        pixels.reason if isinstance(pixels, RefusedPixels) else each.screening.reasons[0]
                    )
        with self._database.reading() as session:
            keys = self._register.keys_of(session, {number: each.patient for number, each in clean.items()})
            opted_out = self._register.opted_out(session, keys)
        self._staging.drop(clean.pop(number).aside for number in opted_out)
        self._staging.take((each.digest, each.aside) for each in clean.values())
        self._vault.remember([each.one for each in clean.values()], [each.patient for each in clean.values()])
        done: list[int] = []
        with self._database.writing() as session:
            moment = self._clock()
            index = Index(session, [each.one for each in clean.values()])
            for number, each in clean.items():
                try:
                    index.add(each.one, each.description, digest=each.digest, size=each.size, at=moment)
                except IndexConflict as conflict:
                    refused[number] = conflict.reason_code
                else:
                    done.append(number)
            index.write()
            came = ((clean[number].one.study_uid, self._items[number].study) for number in done)
            studies = {uid: study for uid, study in came if study is not None}
            known: dict[str, frozenset[str]] = {}
            for number in done:
                pseudonym = clean[number].one.pseudonym
                known[pseudonym] = known.get(pseudonym, frozenset()) | keys[number]
            self._register.note(session, known)
            keep_open(session, studies)
            _settle(session, done, refused, opted_out, moment)
            if waits and self._gate is not None:
                self._gate.hold(session, waits, moment)
            close_finished(session)
        gone = [self._quarantine / self._items[number].file for number in (*done, *opted_out)]
        for file in gone:
            file.unlink(missing_ok=True)
        if gone:
            flush_directory(self._quarantine)
        for item in items:
            del self._items[item.id]
        ends = Counter(refused.values())
        ends += Counter(
            {State.DEIDENTIFIED.value: len(done), State.REVIEW.value: len(waits), OPTED_OUT: len(opted_out)}
        )
        return ends


def _settle(
    session: Session, done: Sequence[int], refused: Mapping[int, str], opted_out: Collection[int], moment: datetime
) -> None:
    """Set the state of each instance: `deidentified`, or `refused` with its reason. The file of what is done is no
    longer named, nor that of a patient who opted out: the fact is kept, not the image."""
    check_step(State.RECEIVED, State.DEIDENTIFIED)
    check_step(State.RECEIVED, State.REFUSED)
    gone: list[tuple[int, str, str | None]] = [(number, State.DEIDENTIFIED.value, None) for number in done]
    gone += [(number, State.REFUSED.value, OPTED_OUT) for number in opted_out]
    if gone:
        session.execute(
            update(ReceivedInstance),
            [
                {"id": number, "state": state, "reason": reason, "file": None, "changed_at": moment}
                for number, state, reason in gone
            ],
        )
    if refused:
        session.execute(
            update(ReceivedInstance),
            [
                {"id": number, "state": State.REFUSED.value, "reason": reason, "changed_at": moment}
                for number, reason in refused.items()
            ],
        )
