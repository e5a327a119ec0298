"""Evidence of a model as second reader: first and final readings of the same studies, and a study of readers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.orm import Session

from wardround.contracts.use_evidence import ReaderStudy, SecondRead, SecondReads
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.use import check_stage, studies_at, truths

_LARGEST = 50_000_000
_YES, _NO = frozenset({"1", "yes", "true"}), frozenset({"0", "no", "false"})


def second_reads(
    session: Session, deployment: Deployment, *, until: datetime, adjudicated: Mapping[str, bool] | None = None
) -> SecondReads:
    """What first and final readings were of each study that was read first without the model and judged with it.

    Raises:
        NotAllowed: `wrong-stage`; `unknown-study`.
    """
    stage = check_stage(deployment, "second-reads")
    studies = studies_at(session, deployment, stage, until)
    known = truths(studies, adjudicated or {})
    reads = [
        SecondRead(
            first=study.first,
            model=study.flagged,
            final=study.final,
            truth=known.get(place),
            reason=study.overruled,
            overlap=study.overlap,
        )
        for place, study in enumerate(studies)
        if study.read and study.first is not None and study.final is not None and study.answers.judgement is not None
    ]
    return SecondReads(
        model=deployment.model,
        pathway=deployment.pathway,
        stage=stage,
        since=min((study.line.arrived_at for study in studies), default=until),
        until=until,
        reads=tuple(reads),
    )


def reader_study_of(file: Path, model: str, pathway: str, *, margin: float) -> ReaderStudy:
    """A reader study out of a CSV file with the columns `reader`, `case`, `aided` (0 or 1), `rating` and `finding`
    (0 or 1): one row for each reader, case and way. Names of readers and cases aren't kept.

    Raises:
        WardroundError: it can't be read, a row can't be understood, a rating is there twice or missing.
    """
    ratings: dict[tuple[bool, str, str], float] = {}
    findings: dict[str, bool] = {}
    for line, row in _rows(file, ("reader", "case", "aided", "rating", "finding")):
        finding, aided = _truth(row["finding"], "finding", line), _truth(row["aided"], "aided", line)
        if findings.setdefault(row["case"], finding) is not finding:
            raise WardroundError(f"line {line}: another row says otherwise whether this case has the finding")
        key = (aided, row["reader"], row["case"])
        if key in ratings:
            raise WardroundError(f"line {line}: this reader has rated this case in this way before")
        try:
            ratings[key] = float(row["rating"])
        except ValueError:
            raise WardroundError(f"line {line}: rating {row['rating']!r} is no number") from None
    readers = sorted({reader for _, reader, _ in ratings})
    cases = sorted(findings)
    if missing := len(readers) * len(cases) * 2 - len(ratings):
        raise WardroundError(f"{missing} ratings are missing: each reader rates each case without and with the model")
    try:
        return ReaderStudy(
            model=model,
            pathway=pathway,
            positive=tuple(findings[case] for case in cases),
            alone=tuple(tuple(ratings[False, reader, case] for case in cases) for reader in readers),
            aided=tuple(tuple(ratings[True, reader, case] for case in cases) for reader in readers),
            margin=margin,
        )
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise NotAllowed(told, code="no-reader-study") from None


def adjudicated_in(file: Path) -> dict[str, bool]:
    """Whether the finding is there, by the worklist's key, out of a CSV file with the columns `study` and `finding`.

    Raises:
        WardroundError: it can't be read or understood, or a study is there twice.
    """
    found: dict[str, bool] = {}
    for line, row in _rows(file, ("study", "finding")):
        if row["study"] in found:
            raise WardroundError(f"line {line}: this study is there twice")
        found[row["study"]] = _truth(row["finding"], "finding", line)
    return found


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        if file.stat().st_size > _LARGEST:
            raise WardroundError(f"{file} is larger than {_LARGEST:,} bytes")
        with file.open(newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream, strict=True)
            if set(table.fieldnames or ()) != set(columns):
                raise WardroundError(f"{file} has to have the columns {', '.join(columns)}, and no other")
            for row in table:
                if None in row or None in row.values():
                    raise WardroundError(f"line {table.line_num}: it has to have {len(columns)} values")
                yield table.line_num, {name: value.strip() for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WardroundError(f"{file} can't be read as a CSV file: {error}") from None


def _truth(text: str, column: str, line: int) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise WardroundError(f"line {line}: {column} is {text!r}, and has to be 1 or 0")
