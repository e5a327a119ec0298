"""Labels: saved by those who drew them, decided on by somebody, and put into the enclave once accepted."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

import pydicom
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.foundation.files import ObjectStore
from wardround.node import audit
from wardround.node.annotate import sittings
from wardround.node.annotate.states import LabelState, check_step
from wardround.node.annotate.subjects import Subject
from wardround.node.annotate.tables import AnnotationLabel, AnnotationSitting
from wardround.node.enclave.drawn import add_drawn

FINAL = "final"
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Drawn:
    """A label as its two files, made by `work.kept`; `voxels` and `volume_ml` are of what is marked."""

    seg: bytes = field(repr=False)
    nifti: bytes = field(repr=False)
    voxels: int
    volume_ml: float


class Labels:
    """Args:
    files: the store of labels that aren't the enclave's, or not yet.
    objects: the enclave's own.
    """

    def __init__(self, database: Database, files: ObjectStore, objects: ObjectStore, clock: Clock = now) -> None:
        self.database = database
        self.files = files
        self._objects = objects
        self._clock = clock

    def save(
        self, subject: Subject, drawn: Drawn, *, actor: str, tag: str = FINAL, model: str = "", note: str = ""
    ) -> AnnotationLabel:
        """Keep a label beside all that were saved before; the case is no longer held for its author.

        Args:
            model: what helped, as the client says; what the server itself saw helping counts where it says nothing.
        """
        with self.files.batch() as batch:
            seg, nifti = batch.put(drawn.seg), batch.put(drawn.nifti)
        for attempt in range(_ATTEMPTS):
            try:
                with self.database.writing() as session:
                    return self._save(session, subject, drawn, (seg, nifti), actor, tag, model, note)
            except IntegrityError:  # somebody saved a version of the same series at the same moment
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def accept(self, number: int, *, actor: str, note: str = "") -> AnnotationLabel:
        """Make a label the enclave's reference for its series, as one that came from the PACS would be. Another one
        that was accepted before is replaced by it.

        Raises:
            NotFound: there is no such label, or its series is no longer in the enclave.
            NotAllowed: it is the actor's own, and somebody else is to look at it (`own-label`).
            Conflict: it can't become accepted from the state it is in.
        """
        label = self.find(number)
        data = self.files.get(label.seg)
        digest = self._objects.put(data)
        header = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
        with self.database.writing() as session:
            row = _locked(session, number)
            check_step(LabelState(row.state), LabelState.ACCEPTED)
            if row.author == actor:
                raise NotAllowed("a label is accepted by somebody else than its author", code="own-label")
            before = select(AnnotationLabel).where(
                AnnotationLabel.series == row.series, AnnotationLabel.state == LabelState.ACCEPTED
            )
            at = self._clock()
            for other in session.scalars(before):
                other.state = LabelState.REPLACED
            add_drawn(session, header, digest=digest, size=len(data), labelled=row.series, at=at)
            row.state, row.decided_by, row.decided_at = LabelState.ACCEPTED, actor, at
            row.reason, row.object_uid = note, str(header.SOPInstanceUID)
            audit.record(session, actor, "accept-label", row.series, f"version {row.version}", clock=self._clock)
        return row

    def reject(self, number: int, *, actor: str, reason: str) -> AnnotationLabel:
        """Say that a label isn't to be used; its case is offered again, to others than its author too.

        Raises:
            NotFound: there is no such label.
            Conflict: it is accepted: accept a better one instead. Or it is rejected already.
            NotAllowed: no reason is given.
        """
        if not reason.strip():
            raise NotAllowed("say why the label is rejected; its author reads it")
        with self.database.writing() as session:
            row = _locked(session, number)
            check_step(LabelState(row.state), LabelState.REJECTED)
            row.state, row.decided_by, row.decided_at = LabelState.REJECTED, actor, self._clock()
            row.reason = reason.strip()
            audit.record(session, actor, "reject-label", row.series, f"version {row.version}", clock=self._clock)
        return row

    def find(self, number: int) -> AnnotationLabel:
        """Raises `NotFound` where there is no label of this number."""
        with self.database.reading() as session:
            row = session.get(AnnotationLabel, number)
        if row is None:
            raise NotFound(f"there is no label {number}; `wardround node annotate list` shows those there are")
        return row

    def newest(self, series: str, tag: str, *, actor: str, readers: int) -> AnnotationLabel:
        """The label of a series that `actor` is shown: their own newest, else the accepted one, else anybody's newest
        where one person draws each case. Where several do, nobody is led by what another has drawn.

        Raises:
            NotFound: there is none for them.
        """
        query = (
            select(AnnotationLabel)
            .where(
                AnnotationLabel.series == series,
                AnnotationLabel.tag == tag,
                AnnotationLabel.state != LabelState.REJECTED,
            )
            .order_by(AnnotationLabel.version.desc())
        )
        with self.database.reading() as session:
            rows = list(session.scalars(query))
        mine = [row for row in rows if row.author == actor]
        accepted = [row for row in rows if row.state == LabelState.ACCEPTED]
        shown = mine or accepted or (rows if readers == 1 else [])
        if not shown:
            raise NotFound("there is no label of this name for you")
        return shown[0]

    def _save(
        self,
        session: Session,
        subject: Subject,
        drawn: Drawn,
        files: tuple[str, str],
        actor: str,
        tag: str,
        model: str,
        note: str,
    ) -> AnnotationLabel:
        at = self._clock()
        sitting = sittings.current(session, actor, subject.series)
        last = select(func.max(AnnotationLabel.version)).where(AnnotationLabel.series == subject.series)
        row = AnnotationLabel(
            series=subject.series,
            study=subject.study,
            pseudonym=subject.pseudonym,
            tag=tag,
            version=(session.scalar(last) or 0) + 1,
            author=actor,
            model=(model or (sitting.model if sitting else ""))[:80],
            seconds=self._seconds(sitting),
            seg=files[0],
            nifti=files[1],
            voxels=drawn.voxels,
            volume_ml=drawn.volume_ml,
            note=note,
            saved_at=at,
            state=LabelState.SAVED,
            reason="",
        )
        session.add(row)
        session.flush()
        if sitting is not None:
            sitting.seat, sitting.ended = None, sittings.SAVED
        audit.record(session, actor, "save-label", subject.series, f"version {row.version}", clock=self._clock)
        return row

    def _seconds(self, sitting: AnnotationSitting | None) -> float | None:
        return None if sitting is None else (self._clock() - sitting.began_at).total_seconds()


def _locked(session: Session, number: int) -> AnnotationLabel:
    row = session.scalar(select(AnnotationLabel).where(AnnotationLabel.id == number).with_for_update())
    if row is None:
        raise NotFound(f"there is no label {number}")
    return row
