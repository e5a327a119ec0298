"""The loop between quarantine and enclave.

For each instance of a complete research study, in this order, each step durable before the next:

1. the de-identified copy goes into the object store,
2. the vault remembers who it was,
3. one transaction indexes the copy and sets the instance's state,
4. the original leaves quarantine.

De-identification gives the same bytes for the same object, so that a crash between any two steps is mended by doing
the instance again; an original whose state says that it is done is removed by `Reception.recover`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from wardround.dicom.errors import Refused
from wardround.dicom.statement import Deidentified
from wardround.dicom.volume_geometry import DAMAGE
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore, flush_directory
from wardround.node.deidentify.vault import Vault
from wardround.node.enclave.description import Description, Undescribed, describe
from wardround.node.enclave.index import Index, IndexConflict
from wardround.node.receive.route import StudyPath
from wardround.node.receive.state import State, check_step
from wardround.node.receive.tables import ReceivedInstance, ReceivedStudy

log = logging.getLogger(__name__)

BATCH = 64
FILE_MISSING = "file-missing"
FAILED = "deidentification-failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """What one call of `tick` did, and how many instances of complete studies are left to do."""

    deidentified: int
    refused: Mapping[str, int]
    left: int

    @property
    def done(self) -> int:
        return self.deidentified + sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class _Item:
    id: int
    file: str


@dataclass(frozen=True, slots=True)
class _Clean:
    item: _Item
    one: Deidentified
    description: Description
    digest: str
    size: int


class Deidentification:
    """Brings what was received for research into the enclave.

    Args:
        database: the node's database, upgraded.
        quarantine: the directory given to the `Reception`.
        deidentify: `wardround.dicom.deidentify.Deidentifier(…).deidentify`, which raises `Refused`.
        vault: where identities go.
        objects: the enclave's object store.
    """

    def __init__(
        self,
        database: Database,
        *,
        quarantine: Path,
        deidentify: Callable[[bytes], Deidentified],
        vault: Vault,
        objects: ObjectStore,
        clock: Clock = now,
    ) -> None:
        self._database = database
        self._quarantine = quarantine
        self._deidentify = deidentify
        self._vault = vault
        self._objects = objects
        self._clock = clock

    def tick(self, batch: int = BATCH) -> Progress:
        """Do the next `batch` instances of complete studies; one caller at a time.

        What can't be de-identified stays in quarantine, with its reason. An error of the disk or of a database
        is raised and leaves the rest for the next call.
        """
        items = self._next(batch)
        if not items:
            return Progress(0, {}, 0)
        clean: list[_Clean] = []
        refused: dict[_Item, str] = {}
        for item in items:
            outcome = self._prepare(item)
            if isinstance(outcome, _Clean):
                clean.append(outcome)
            else:
                refused[item] = outcome
        self._vault.remember(each.one for each in clean)
        done: list[_Item] = []
        with self._database.writing() as session:
            moment = self._clock()
            index = Index(session, [each.one for each in clean])
            for each in clean:
                try:
                    index.add(each.one, each.description, digest=each.digest, size=each.size, at=moment)
                except IndexConflict as conflict:
                    refused[each.item] = conflict.reason_code
                else:
                    done.append(each.item)
            index.write()
            _settle(session, done, refused, moment)
        gone = [self._quarantine / item.file for item in done]
        for file in gone:
            file.unlink(missing_ok=True)
        if gone:
            flush_directory(self._quarantine)
        counted = Counter(refused.values())
        for reason, number in sorted(counted.items()):
            log.warning("%d instances were refused: %s", number, reason)
        return Progress(len(gone), dict(counted), self._left())

    def _prepare(self, item: _Item) -> _Clean | str:
        """The de-identified instance, its bytes in the store; or the reason why not."""
        try:
            data = (self._quarantine / item.file).read_bytes()
        except FileNotFoundError:
            return FILE_MISSING
        try:
            one = self._deidentify(data)
            description = describe(one)
        except Refused as refused:
            return refused.reason_code
        except Undescribed as undescribed:
            return undescribed.reason_code
        except DAMAGE as damage:
            # Fails closed: what breaks the de-identifier stays in quarantine and holds nothing else up.
            log.error("an instance could not be de-identified: %s", type(damage).__name__)
            return FAILED
        digest = self._objects.put(one.data)
        # The bytes are in the store; a batch of large objects must not fill the memory.
        return _Clean(item, replace(one, data=b""), description, digest, len(one.data))

    def _next(self, batch: int) -> list[_Item]:
        query = (
            select(ReceivedInstance.id, ReceivedInstance.file)
            .join(ReceivedStudy, ReceivedInstance.study_id == ReceivedStudy.id)
            .where(*_waiting())
            .order_by(ReceivedStudy.completed_at, ReceivedStudy.id, ReceivedInstance.id)
            .limit(batch)
        )
        with self._database.reading() as session:
            return [_Item(id_, file or "") for id_, file in session.execute(query)]

    def _left(self) -> int:
        query = (
            select(func.count())
            .select_from(ReceivedInstance)
            .join(ReceivedStudy, ReceivedInstance.study_id == ReceivedStudy.id)
            .where(*_waiting())
        )
        with self._database.reading() as session:
            return session.scalar(query) or 0


def _settle(session: Session, done: Sequence[_Item], refused: Mapping[_Item, str], moment: datetime) -> None:
    """Set the state of each item: `deidentified`, its file no longer named, or `refused` with its reason."""
    check_step(State.RECEIVED, State.DEIDENTIFIED)
    check_step(State.RECEIVED, State.REFUSED)
    rows: list[dict[str, object]] = [
        {"id": item.id, "state": State.DEIDENTIFIED.value, "reason": None, "file": None, "changed_at": moment}
        for item in done
    ]
    rows += [
        {"id": item.id, "state": State.REFUSED.value, "reason": reason, "file": item.file, "changed_at": moment}
        for item, reason in refused.items()
    ]
    if rows:
        session.execute(update(ReceivedInstance), rows)


def _waiting() -> tuple[ColumnElement[bool], ...]:
    return (
        ReceivedStudy.path == StudyPath.RESEARCH.value,
        ReceivedStudy.completed_at.is_not(None),
        ReceivedInstance.state == State.RECEIVED.value,
    )
