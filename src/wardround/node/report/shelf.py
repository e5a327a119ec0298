"""Where outputs lie between a reading and their delivery: files whole on the disk first, rows then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.stage import LADDER, STAGES, StageName
from wardround.foundation.files import write_whole
from wardround.node.report.document import DICOM, Document, OutputKind
from wardround.node.report.states import OutputState
from wardround.node.report.tables import Output


@dataclass(frozen=True, slots=True)
class Kept:
    """A document and its file, by its name below the results folder."""

    document: Document
    file: str


class Shelf:
    """Keeps what has somewhere to go.

    Args:
        results: the folder of the files.
        from_stage: the lowest stage from which a kind goes out beside the DICOM objects, which always do; a kind that
            isn't named has nowhere to go.
        examiners: whether results of a model in shadow use have somewhere to go.
    """

    def __init__(
        self, results: Path, from_stage: Mapping[OutputKind, StageName] | None = None, *, examiners: bool = False
    ) -> None:
        self._results = results
        self._examiners = examiners
        self._from_stage = dict(from_stage or {})

    def leaves(self, stage: str) -> bool:
        """Whether what is read at a stage is sent anywhere, by the table of stages."""
        audience = STAGES[stage].results
        return audience == "ward" or (audience == "examiners" and self._examiners)

    def put(self, stem: str, stage: str, documents: Sequence[Document]) -> list[Kept]:
        """Write the files, durably; `stem` is what their names begin with."""
        kept = []
        for document in documents:
            if self._goes(document.kind, stage):
                name = f"{stem}-{document.kind}.{'dcm' if document.kind in DICOM else 'json'}"
                write_whole(self._results / name, document.data)
                kept.append(Kept(document, name))
        return kept

    def drop(self, kept: Sequence[Kept]) -> None:
        """Remove files of which there will be no rows."""
        for one in kept:
            (self._results / one.file).unlink(missing_ok=True)

    def enlist(self, session: Session, line: int, kept: Sequence[Kept], at: datetime) -> None:
        """Have them sent, in the caller's transaction."""
        for one in kept:
            document = one.document
            session.add(
                Output(
                    line=line,
                    kind=document.kind.value,
                    file=one.file,
                    sop_class=document.sop_class,
                    sop_instance=document.sop_instance,
                    state=OutputState.WAITING,
                    due_at=at,
                )
            )

    def _goes(self, kind: OutputKind, stage: str) -> bool:
        if kind in DICOM:
            return True
        lowest = self._from_stage.get(kind)
        return lowest is not None and stage in LADDER[LADDER.index(lowest) :]


def outputs_of(session: Session, line: int) -> list[Output]:
    """What a line of the worklist gave out, in the order in which it was made."""
    return list(session.scalars(select(Output).where(Output.line == line).order_by(Output.id)))
