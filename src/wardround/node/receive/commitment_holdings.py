"""For which instances the node answers: what a storage commitment may say yes to (PS3.4 Annex J.3.3.1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from wardround.dicom.network_messages import NO_SUCH_OBJECT, CommitmentReport, CommitmentRequest
from wardround.foundation.database import Database
from wardround.node.receive.arrival import KeyMaker
from wardround.node.receive.index import CONFLICT
from wardround.node.receive.route import StudyPath
from wardround.node.receive.state import State
from wardround.node.receive.tables import ReceivedInstance

PROCESSING_FAILURE = 0x0110
CLASS_CONFLICT = 0x0119
_ON_DISK = frozenset({State.RECEIVED, State.REVIEW, State.CLINICAL})
_NOTHING_KEPT = frozenset({State.PURGED, State.DISCARDED})
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Held:
    path: str
    sop_class: str
    state: State
    reason: str | None
    file: str | None


class Holdings:
    """What the index and the disk say of instances that somebody names.

    The node answers for an instance that waits for de-identification or for a person's look at its pixels, that is on
    the clinical path, or of which the enclave has the de-identified copy. The last is all that is left on the research
    path: the node is no archive, and can't give back what the hospital deletes.

    Args:
        roots: the folder of each path.
    """

    def __init__(self, database: Database, keys: KeyMaker, roots: Mapping[StudyPath, Path]) -> None:
        self._database = database
        self._keys = keys
        self._roots = roots

    def report(self, request: CommitmentRequest) -> CommitmentReport:
        """What may be said of each instance of `request`, as things stand.

        An instance of which nothing is kept fails with 0x0112. One that was refused, whose file is lost, or of which
        other content came as well, so that it isn't known which of the two is meant, fails with 0x0110; one that was
        received under another SOP class with 0x0119.

        Raises:
            DBAPIError, sqlalchemy.exc.TimeoutError: the index doesn't answer.
        """
        wanted = [
            (sop_class, uid, self._keys.key("instance", uid.strip(" \0"))) for sop_class, uid in request.instances
        ]
        held = self._held(sorted({key for _, _, key in wanted}))
        judged = [(sop_class, uid, self._failure(sop_class, held.get(key, ()))) for sop_class, uid, key in wanted]
        return CommitmentReport(
            transaction_uid=request.transaction_uid,
            done=tuple((sop_class, uid) for sop_class, uid, failure in judged if failure is None),
            failed=tuple((sop_class, uid, failure) for sop_class, uid, failure in judged if failure is not None),
        )

    def _held(self, keys: Sequence[str]) -> dict[str, list[_Held]]:
        table = ReceivedInstance
        columns = (table.instance_key, table.path, table.sop_class, table.state, table.reason, table.file)
        held: dict[str, list[_Held]] = {}
        with self._database.reading() as session:
            for first in range(0, len(keys), _AT_ONCE):
                here = table.instance_key.in_(keys[first : first + _AT_ONCE])
                for key, path, sop_class, state, reason, file in session.execute(select(*columns).where(here)):
                    held.setdefault(key, []).append(_Held(path, sop_class, State(state), reason, file))
        return held

    def _failure(self, sop_class: str, rows: Sequence[_Held]) -> int | None:
        """Why the node doesn't answer for an instance (PS3.3 C.14.1.1); None if it does."""
        if all(row.state in _NOTHING_KEPT for row in rows):
            return NO_SUCH_OBJECT
        here = [row for row in rows if self._is_here(row)]
        if not here or any(row.reason == CONFLICT for row in rows):
            return PROCESSING_FAILURE
        classes = {row.sop_class for row in here} - {""}
        if not classes:
            return PROCESSING_FAILURE
        return None if sop_class.strip(" \0") in classes else CLASS_CONFLICT

    def _is_here(self, row: _Held) -> bool:
        if row.state is State.DEIDENTIFIED:
            return True
        return (
            row.state in _ON_DISK and row.file is not None and (self._roots[StudyPath(row.path)] / row.file).is_file()
        )
