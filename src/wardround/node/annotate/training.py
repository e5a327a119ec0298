"""Training of the click network on the labels that were kept here: one task at a time, told of as clients ask."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from wardround.compute.worker import Worker
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import Conflict, NotFound, WardroundError
from wardround.foundation.files import ObjectStore
from wardround.node import audit
from wardround.node.annotate import lesson
from wardround.node.annotate.lesson import LabelledSource, Taught
from wardround.node.annotate.states import LabelState
from wardround.node.annotate.subjects import Subjects
from wardround.node.annotate.tables import AnnotationLabel
from wardround.node.annotate.work import Source

CLICKS = "clicks"
STEPS = 2000
MOST_STEPS = 100_000
_STAMP = "%Y-%m-%d %H:%M:%S"


@dataclass
class Task:
    """`status` is `RUNNING`, `DONE`, `ERROR` or `STOPPED`, in the words of MONAI Label's clients."""

    id: str
    request: Mapping[str, Any]
    cases: int
    began_at: datetime
    status: str = "RUNNING"
    ended_at: datetime | None = None
    lines: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As clients read it; `details` is never empty, which they count on."""
        ends = {} if self.ended_at is None else {"end_ts": self.ended_at.strftime(_STAMP)}
        return {
            "id": self.id,
            "status": self.status,
            "request": dict(self.request),
            "start_ts": self.began_at.strftime(_STAMP),
            "details": self.lines or [f"learning from {self.cases} labels"],
            "exit_code": 1 if self.status == "ERROR" else 0,
        } | ends


class Training:
    """Args:
    folder: where weights and progress lie.
    readers: how many people draw each case: of one, what they saved is learned from unless it was rejected; of
        several, what was accepted alone.
    """

    def __init__(
        self,
        database: Database,
        subjects: Subjects,
        files: ObjectStore,
        worker: Worker,
        folder: Path,
        *,
        readers: int,
        threads: int,
        clock: Clock = now,
    ) -> None:
        self._database = database
        self._subjects = subjects
        self._files = files
        self._worker = worker
        self._folder = folder
        self._readers = readers
        self._threads = threads
        self._clock = clock
        self._lock = threading.RLock()
        self._task: Task | None = None

    @property
    def network(self) -> Path | None:
        """The weights that were trained last and found better than distance alone, if any were."""
        return self._weights if self._weights.is_file() else None

    @property
    def _weights(self) -> Path:
        return self._folder / "clicks.safetensors"

    @property
    def _told(self) -> Path:
        return self._folder / "progress.txt"

    def start(self, model: str, request: Mapping[str, Any], *, actor: str) -> Task:
        """Begin training; returns at once.

        Raises:
            NotFound: no such model is trained here.
            Conflict: one runs already, or there is no label to learn from.
        """
        if model != CLICKS:
            raise NotFound(f"no model of this name is trained here; there is {CLICKS}")
        with self._lock:
            if self._running():
                raise Conflict("training runs already; stop it first")
            lessons = self._lessons()
            if not lessons:
                raise Conflict("there is no label to learn from yet")
            self._folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            self._told.unlink(missing_ok=True)
            task = Task(str(uuid.uuid4()), dict(request) | {"model": model}, len(lessons), self._clock())
            begin = None if request.get("pretrained") is False else self.network
            future = self._worker.submit(
                lesson.train, lessons, self._weights, self._told, _steps(request), self._threads, begin
            )
            self._task = task
            with self._database.writing() as session:
                audit.record(session, actor, "train-annotation", model, f"{len(lessons)} labels", clock=self._clock)
        future.add_done_callback(partial(self._ended, task))
        return task

    def status(self, *, running_only: bool) -> Task:
        """The task that runs, or ran last. Raises `NotFound` where there is none."""
        with self._lock:
            if self._task is None or (running_only and not self._running()):
                raise NotFound("no training runs")
            if self._running():
                self._task.lines = self._progress()
            return self._task

    def stop(self, *, actor: str) -> Task:
        """End the task that runs; its weights aren't kept, those before it are. Raises `NotFound`: none runs."""
        with self._lock:
            if self._task is None or not self._running():
                raise NotFound("no training runs")
            task = self._task
            task.lines = [*self._progress(), "stopped"]
            task.status, task.ended_at = "STOPPED", self._clock()
            with self._database.writing() as session:
                audit.record(session, actor, "stop-annotation", CLICKS, clock=self._clock)
        self._worker.stop()
        return task

    def lines(self) -> list[str]:
        with self._lock:
            return [] if self._task is None else list(self.status(running_only=False).lines)

    def _running(self) -> bool:
        return self._task is not None and self._task.status == "RUNNING"

    def _ended(self, task: Task, future: Future[Taught]) -> None:
        with self._lock:
            if task.status != "RUNNING":
                return
            failure = None if future.cancelled() else future.exception()
            task.lines = self._progress()
            if future.cancelled() or failure is not None:
                task.status = "ERROR"
                task.lines.append(str(failure) if isinstance(failure, WardroundError) else "the process failed")
            else:
                task.status = "DONE"
                task.lines.append(future.result().words)
            task.ended_at = self._clock()

    def _lessons(self) -> Sequence[LabelledSource]:
        """Of each series that may be used the accepted label, else the newest of a single reader."""
        states = [LabelState.ACCEPTED, LabelState.SAVED] if self._readers == 1 else [LabelState.ACCEPTED]
        query = select(AnnotationLabel).where(AnnotationLabel.state.in_(states)).order_by(AnnotationLabel.version)
        chosen: dict[str, AnnotationLabel] = {}
        with self._database.reading() as session:
            for row in session.scalars(query):
                before = chosen.get(row.series)
                if before is None or before.state != LabelState.ACCEPTED:
                    chosen[row.series] = row
        return [
            LabelledSource(Source(self._subjects.files(series).paths), self._files.path(row.nifti))
            for series, row in sorted(chosen.items())
            if row.voxels and self._subjects.holds(series)
        ]

    def _progress(self) -> list[str]:
        try:
            return self._told.read_text(encoding="utf-8").splitlines()[-200:]
        except FileNotFoundError:
            return []


def _steps(request: Mapping[str, Any]) -> int:
    wanted = request.get("max_epochs", STEPS)
    return min(max(wanted, 1), MOST_STEPS) if isinstance(wanted, int) else STEPS
