"""Loads health records: what a reader gives of a path, into the records, all of it or nothing.

A load reads first: each row's identity becomes the person that the enclave knows by the same number, its dates are
shifted as that person's images are, its codes become concepts, its key becomes a number. What comes of it lies in a
folder of the load's own (`staging`), in Parquet, with no identifier in it; memory is bounded by a batch of rows. Then
one transaction applies it, with the row that says who loaded what.

- Transactional: a load that is killed, at any moment, has changed nothing in the records. What it staged is removed by
  the next load. The vault may have come to know people of whom there is no record yet; the next load uses that.
- Resumable: the same command again. It reads from the start, since nothing of a killed load was applied; a number of
  files that were loaded one by one goes on with the first that isn't in.
- Idempotent: a record's number follows from its source's name and its key, so that the same file again changes
  nothing, and a changed row replaces what it said.

A row that is rejected leaves in place what was loaded under its key before. A reference to a record that isn't in yet
holds from the moment that it is: both have the number that follows from the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path

from wardround.foundation.clock import Clock, now
from wardround.node import audit
from wardround.node.records.application import WHOM, WHOM_COLUMNS, Application
from wardround.node.records.errors import RecordsRefused
from wardround.node.records.history import next_load, source_number, write_load
from wardround.node.records.keys import RecordKeys
from wardround.node.records.people import Meeting, People
from wardround.node.records.reasons import Reason
from wardround.node.records.report import Report
from wardround.node.records.row import PersonIdentity, Reader, Rejected, Row
from wardround.node.records.schema import RECORDS, TABLES
from wardround.node.records.staging import Staging, staging_in
from wardround.node.records.store import Records
from wardround.node.records.translation import NotKept, Translation, staged
from wardround.node.records.vocabulary import Vocabulary

BATCH = 5000
"""Rows that are looked at together."""
_REMEMBERED = 200_000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
TELLING_IN_ORDER = frozenset({"hl7"})
"""Names in `sources.SOURCES` of those that tell in the order of time."""

Progress = Callable[[int], None]
"""Told how many records were read so far."""


@dataclass
class _Reading:
    """What the reading of one load gathers."""

    meeting: Meeting
    translation: Translation
    staging: Staging
    report: Report = field(default_factory=Report)
    met: set[int] = field(default_factory=set)
    out: set[int] = field(default_factory=set)


class Loader:
    """Loads into one site's records. For one load at a time; other programs may load too, each waits its turn.

    Args:
        follow: `Images.tick`, so that the first records that are there find the enclave's images beside them.
    """

    def __init__(
        self,
        records: Records,
        people: People,
        keys: RecordKeys,
        clock: Clock = now,
        follow: Callable[[], object] = lambda: None,
    ) -> None:
        self._records = records
        self._people = people
        self._keys = keys
        self._clock = clock
        self._follow = follow

    def load(
        self,
        reader: Reader,
        path: Path,
        *,
        source: str,
        actor: str,
        in_order: bool = False,
        continuous: bool = False,
        whole: bool = False,
        progress: Progress | None = None,
    ) -> Report:
        """Load what `reader` gives of `path`; for good once this returns.

        Args:
            source: names where the records come from. Records of two sources are never the same record; those of a
                person who is in both are one person's.
            actor: as in `wardround.node.audit.record`.
            in_order: the source tells in the order of time (HL7 messages do): a later row corrects an earlier one, of
                persons too, and a person's row need not repeat what an earlier one said. Else two rows that contradict
                each other on a birth date or a sex, or a row that contradicts another source, are two persons with
                one number, of whom nothing is taken in.
            continuous: one of very many small loads, which are told together, by the day.
            whole: this is all that the source has: of each table of which a row can be read, the source's rows that
                aren't there again, and those that are rejected while they are read, are taken out.
            progress: called now and then.

        Raises:
            RecordsRefused: the path can't be read, or the source's name can't be used.
            RecordsBusy: somebody reads or writes for too long, or loaded a vocabulary meanwhile; nothing was applied.
        """
        if not _NAME.fullmatch(source):
            raise RecordsRefused("a source's name is 1 to 40 small letters, digits and hyphens; give another --source")
        today = self._clock().date() + timedelta(days=1)  # somewhere it is tomorrow already
        vocabulary = Vocabulary(self._records)
        with staging_in(self._records.staging) as staging:
            for name in RECORDS:
                staging.declare(name, staged(TABLES[name]))
            staging.declare(WHOM, WHOM_COLUMNS)
            translation = Translation(self._keys, source, vocabulary, today)
            reading = _Reading(self._people.meeting(), translation, staging)
            for batch in _batches(reader(path)):
                self._take(batch, reading)
                if progress is not None:
                    progress(reading.report.read)
            staging.finish()
            return self._apply(reading, source, actor, in_order=in_order, continuous=continuous, whole=whole)

    def _apply(
        self, reading: _Reading, source: str, actor: str, *, in_order: bool, continuous: bool, whole: bool
    ) -> Report:
        report = reading.report
        if not continuous:
            # Before: what is applied names its actor in its own transaction too (`record_load`).
            with self._people.database.writing() as session:
                told = f"{report.read} records read"
                audit.record(session, actor, "load-records", f"source {source}", told, clock=self._clock)
        self._follow()
        with self._records.writing() as connection:
            reading.translation.vocabulary.check_same(connection)
            number = source_number(connection, source)
            report.load = next_load(connection)
            Application(connection, reading.staging, number, report.load, in_order, report, whole).apply(reading.out)
            write_load(connection, report, number, actor=actor, at=self._clock(), continuous=continuous)
        return report

    def _take(self, batch: list[Row | Rejected], reading: _Reading) -> None:
        report, first = reading.report, reading.report.read
        report.read += len(batch)
        rows: list[tuple[int, Row]] = []
        for seq, each in enumerate(batch, start=first):
            if isinstance(each, Rejected):
                report.reject(each.reason, each.where)
            elif not each.person.patient_id.strip(" \0"):
                report.reject(Reason.NO_PERSON, each.where)
            else:
                rows.append((seq, each))
        whom = reading.meeting.meet(row.person for _, row in rows)
        opted_out = reading.meeting.opted_out(each.pseudonym for each in whom.values())
        reading.out |= {each.person_id for each in whom.values() if each.pseudonym in opted_out}
        translation = reading.translation
        translation.vocabulary.learn(
            (code for _, row in rows for code in translation.codes(row)),
            (concept for _, row in rows for concept in translation.concepts(row)),
        )
        kept: set[PersonIdentity] = set()
        for seq, row in rows:
            try:
                values, unmapped = translation.kept(row, whom[row.person], seq)
            except NotKept as refused:
                report.reject(refused.reason, row.where)
                continue
            report.unmapped += unmapped
            reading.staging.add(row.table, values)
            if whom[row.person].pseudonym not in opted_out:
                kept.add(row.person)
        for person in kept:
            one = whom[person]
            if one.person_id not in reading.met:
                reading.met.add(one.person_id)
                reading.staging.add(WHOM, {"person_id": one.person_id, "pseudonym": one.pseudonym, "word": one.word})
        if len(reading.met) > _REMEMBERED:
            reading.met.clear()
        reading.meeting.keep(kept)


def _batches(rows: Iterator[Row | Rejected]) -> Iterator[list[Row | Rejected]]:
    while batch := list(islice(rows, BATCH)):
        yield batch
