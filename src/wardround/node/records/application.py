"""A staged load, applied to the records in the caller's one transaction.

A row replaces what its source said under the same key; one that says the same changes nothing. What can only be known
of all rows together is checked here: one number for two persons, people who opted out, a date before birth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wardround.node.records.persons import GROUPS, PERSON_COLUMNS, merged, rebuild
from wardround.node.records.reasons import Reason
from wardround.node.records.report import PLACES, Changes, Report
from wardround.node.records.schema import EVENT_DATE, PERSON, RECORDS, TABLES, Column, Table, Type, clustered
from wardround.node.records.staging import Staging
from wardround.node.records.store import STATEMENTS, Connection
from wardround.node.records.translation import STAGED_ALSO

WHOM = "whom"
WHOM_COLUMNS = (
    Column("person_id", Type.BIGINT, required=True),
    Column("pseudonym", Type.TEXT, required=True),
    Column("word", Type.BIGINT, required=True),
)
"""Staged too: whoever a row is about."""
_TABLES = tuple(TABLES[name] for name in RECORDS)


@dataclass
class Application:
    """One load.

    Args:
        source, load: their numbers.
        in_order: the source tells in the order of time, so that a later row corrects an earlier one.
        whole: it is all that the source has, so that what is missing in a table of which there are rows is gone.
        report: what the reading found; what is done is added to it.
    """

    connection: Connection
    staging: Staging
    source: int
    load: int
    in_order: bool
    report: Report
    whole: bool = False

    def apply(self, out: Iterable[int]) -> None:
        """Do it. `out`: the persons whose rows are left out, since they opted out."""
        self._stage(out)
        if self.whole:
            for table in self._given():
                self._take_back_missing(table)
        for table in self._given():
            self._reject(table, Reason.OPTED_OUT, "person_id IN (SELECT person_id FROM opted_out)")
        if not self.in_order:
            self._two_persons()
        self._say_persons()
        self.connection.run("CREATE TEMPORARY TABLE affected AS SELECT DISTINCT person_id FROM staged_person")
        rebuild(self.connection, "affected")
        self.connection.run("DELETE FROM affected")
        events = [table for table in self._given() if table.name != PERSON]
        for table in events:
            self._reject(table, Reason.BEFORE_BIRTH, _before_birth(table))
        for table in events:
            self._put(table)
        self._name_bare(events)
        self._words()
        rebuild(self.connection, "affected")

    def _given(self) -> list[Table]:
        """The table of persons, and those of which there is any row."""
        return [table for table in _TABLES if table.name == PERSON or self.staging.files(table.name)]

    def _stage(self, out: Iterable[int]) -> None:
        for table in self._given():
            name = f"staged_{table.name}"
            self.connection.stage(name, self.staging.columns(table.name), self.staging.files(table.name))
        self.connection.stage(WHOM, WHOM_COLUMNS, self.staging.files(WHOM))
        self.connection.run("CREATE TEMPORARY TABLE opted_out (person_id BIGINT)")
        numbers = sorted(set(out))
        for start in range(0, len(numbers), 1000):
            part = numbers[start : start + 1000]
            self.connection.run(f"INSERT INTO opted_out VALUES {', '.join('(?)' for _ in part)}", part)  # noqa: S608

    def _take_back_missing(self, table: Table) -> None:
        """Stage as gone what this source said and no longer says."""
        if not self.staging.files(table.name):
            return
        staged, key = f"staged_{table.name}", table.key[0]
        said, also = (STATEMENTS.name, " AND t.stated") if table.name == PERSON else (table.name, "")
        columns = [column.name for column in self.staging.columns(table.name)]
        here = {"seq": "0", "gone": "true", "place": "''"}
        values = ", ".join(here.get(name, f"t.{name}") for name in columns)
        self.connection.run(
            f"INSERT INTO {staged} ({', '.join(columns)}) SELECT {values} FROM {said} AS t "  # noqa: S608 - our names
            f"WHERE t.origin = ?{also} AND NOT EXISTS (SELECT 1 FROM {staged} AS s WHERE s.{key} = t.{key})",
            [self.source],
        )

    def _reject(self, table: Table, reason: Reason, condition: str) -> None:
        """Take rows out of what is staged, and tell where they are."""
        staged = f"staged_{table.name}"
        count = self.connection.count(staged, condition)
        if not count:
            return
        places = self.connection.rows(f"SELECT place FROM {staged} WHERE {condition} ORDER BY seq LIMIT {PLACES}")  # noqa: S608
        self.connection.delete(staged, condition)
        self.report.reject_many(reason, count, [place for (place,) in places])

    def _two_persons(self) -> None:
        """One number for two persons: rows of this load differ, or it contradicts what another source says."""
        self.connection.run(
            "CREATE TEMPORARY TABLE doubtful AS SELECT person_id FROM staged_person WHERE NOT gone "
            "GROUP BY person_id HAVING count(DISTINCT year_of_birth) > 1 OR count(DISTINCT month_of_birth) > 1 "
            "OR count(DISTINCT day_of_birth) > 1 "
            "OR count(DISTINCT CASE WHEN gender_concept_id <> 0 THEN gender_concept_id END) > 1"
        )
        self.connection.run(
            "INSERT INTO doubtful SELECT DISTINCT s.person_id FROM staged_person s JOIN person_statement p "
            "ON p.person_id = s.person_id AND p.origin NOT IN (0, ?) WHERE NOT s.gone AND ("
            "(s.day_of_birth IS NOT NULL AND p.day_of_birth IS NOT NULL AND (s.year_of_birth <> p.year_of_birth "
            "OR s.month_of_birth <> p.month_of_birth OR s.day_of_birth <> p.day_of_birth)) "
            "OR (s.gender_concept_id <> 0 AND p.gender_concept_id <> 0 "
            "AND s.gender_concept_id <> p.gender_concept_id))",
            [self.source],
        )
        for table in self._given():
            self._reject(table, Reason.TWO_PERSONS, "person_id IN (SELECT person_id FROM doubtful)")

    def _say_persons(self) -> None:
        """Put what this source says of persons in the place of what it said."""
        run, changes = self.connection.run, self.report.table(PERSON)
        rows = self.connection.count("staged_person")
        # Who was taken back and came again counts from there on.
        run(
            "CREATE TEMPORARY TABLE last_gone AS SELECT person_id, max(seq) AS seq, "
            "max(CASE WHEN gone THEN seq ELSE -1 END) AS gone FROM staged_person GROUP BY person_id"
        )
        run(
            "CREATE TEMPORARY TABLE counted AS SELECT s.* FROM staged_person s JOIN last_gone g "
            "ON g.person_id = s.person_id AND s.seq > g.gone"
        )
        columns = ", ".join(PERSON_COLUMNS)
        run(f"CREATE TEMPORARY TABLE new_said AS {merged('counted', 'seq')}")
        if self.in_order:
            # A message need not say again what an earlier one said.
            kept = ", ".join(f"p.{column}" for column in PERSON_COLUMNS)
            run(
                f"CREATE TEMPORARY TABLE both_said AS SELECT 1 AS said_at, {columns} FROM new_said UNION ALL "  # noqa: S608
                f"SELECT 0 AS said_at, {kept} FROM person_statement p JOIN new_said n ON n.person_id = p.person_id "
                "WHERE p.origin = ?",
                [self.source],
            )
            run("DROP TABLE new_said")
            run(f"CREATE TEMPORARY TABLE new_said AS {merged('both_said', 'said_at')}")
        same = " AND ".join(f"p.{column} IS NOT DISTINCT FROM n.{column}" for column in PERSON_COLUMNS)
        told = "person_statement p WHERE p.person_id = n.person_id AND p.origin = ? AND p.stated"
        changes.unchanged = run(
            f"DELETE FROM new_said AS n WHERE EXISTS (SELECT 1 FROM {told} AND {same})",  # noqa: S608
            [self.source],
        )
        # Whom the source takes back stays, of whom it says nothing, as long as it has an event of theirs.
        nothing = ", ".join(
            f"{column} = {0 if TABLES[PERSON].column(column).required else 'NULL'}"
            for _, _, group in GROUPS
            for column in group
        )
        changes.removed = run(
            f"UPDATE person_statement SET stated = false, load_id = ?, {nothing} WHERE origin = ? AND stated "  # noqa: S608
            "AND person_id IN (SELECT person_id FROM last_gone WHERE seq = gone)",
            [self.load, self.source],
        )
        changes.changed = run(
            "DELETE FROM person_statement WHERE origin = ? AND person_id IN (SELECT person_id FROM new_said)",
            [self.source],
        )
        new = run(
            f"INSERT INTO person_statement (origin, load_id, stated, {columns}) "  # noqa: S608
            f"SELECT ?, ?, true, {columns} FROM new_said",
            [self.source, self.load],
        )
        changes.added = new - changes.changed
        changes.repeated = rows - new - changes.unchanged - changes.removed

    def _put(self, table: Table) -> None:
        """Put events in the place of what their source said under the same keys."""
        run, staged, key = self.connection.run, f"staged_{table.name}", table.key[0]
        names = [column.name for column in self.staging.columns(table.name)]
        own = [name for name in names if name not in {column.name for column in STAGED_ALSO}]
        repeated = run(
            f"DELETE FROM {staged} AS s WHERE EXISTS "  # noqa: S608
            f"(SELECT 1 FROM {staged} AS later WHERE later.{key} = s.{key} AND later.seq > s.seq)"
        )
        same = " AND ".join(f"t.{name} IS NOT DISTINCT FROM s.{name}" for name in own)
        unchanged = run(
            f"DELETE FROM {staged} AS s WHERE NOT s.gone AND EXISTS (SELECT 1 FROM {table.name} AS t "  # noqa: S608
            f"WHERE t.{key} = s.{key} AND t.origin = ? AND {same})",
            [self.source],
        )
        # A death has no number of its own, so that another source's may be met under a person's.
        run(
            f"INSERT INTO affected SELECT DISTINCT person_id FROM {table.name} "  # noqa: S608
            f"WHERE {key} IN (SELECT {key} FROM {staged})"
        )
        removed = run(
            f"DELETE FROM {table.name} WHERE origin = ? AND {key} IN (SELECT {key} FROM {staged} WHERE gone)",  # noqa: S608
            [self.source],
        )
        void = self.connection.delete(staged, "gone")
        changed = run(f"DELETE FROM {table.name} WHERE {key} IN (SELECT {key} FROM {staged})")  # noqa: S608
        columns = ", ".join(own)
        put = f"INSERT INTO {table.name} ({columns}, origin) SELECT {columns}, ? FROM {staged}"  # noqa: S608 - our names
        new = run(put + clustered(table), [self.source])
        run(f"INSERT INTO affected SELECT DISTINCT person_id FROM {staged}")  # noqa: S608
        if new or unchanged or removed or repeated or void:
            done = Changes(new - changed, changed, unchanged + void - removed, removed, repeated)
            self.report.tables[table.name] = self.report.table(table.name).plus(done)

    def _name_bare(self, events: Sequence[Table]) -> None:
        """Of whom there are events and nothing is said otherwise, it is said that they exist."""
        if not events:
            return
        of_events = [f"SELECT person_id FROM staged_{table.name}" for table in events]  # noqa: S608
        zeros = [column.name for column in TABLES[PERSON].columns if column.required and column.type is Type.INTEGER]
        self.report.table(PERSON).added += self.connection.run(
            "INSERT INTO person_statement (origin, load_id, stated, person_id, person_source_value, "  # noqa: S608
            f"{', '.join(zeros)}) SELECT ?, ?, false, person_id, max(pseudonym), {', '.join('0' for _ in zeros)} "
            f"FROM {WHOM} AS w WHERE person_id IN ({' UNION ALL '.join(of_events)}) AND NOT EXISTS "
            "(SELECT 1 FROM person_statement AS p WHERE p.origin = ? AND p.person_id = w.person_id) GROUP BY person_id",
            [self.source, self.load, self.source],
        )

    def _words(self) -> None:
        self.connection.run(
            "INSERT INTO person_word (person_id, word) SELECT person_id, max(word) FROM whom WHERE person_id IN "
            "(SELECT person_id FROM person_statement) AND NOT EXISTS "
            "(SELECT 1 FROM person_word AS known WHERE known.person_id = whom.person_id) GROUP BY person_id"
        )


def _before_birth(table: Table) -> str:
    """The condition for rows of `table` that lie before their person's birth; of a birth in part, before its year by
    more than the year that shifting may have cost."""
    day = EVENT_DATE[table.name]
    digits = f"extract(year FROM {day}) * 10000 + extract(month FROM {day}) * 100 + extract(day FROM {day})"
    born = (
        "CASE WHEN p.day_of_birth IS NULL THEN (p.year_of_birth - 1) * 10000 "
        "ELSE p.year_of_birth * 10000 + p.month_of_birth * 100 + p.day_of_birth END"
    )
    return (
        f"NOT gone AND EXISTS (SELECT 1 FROM person p WHERE p.person_id = staged_{table.name}.person_id "  # noqa: S608
        f"AND p.year_of_birth IS NOT NULL AND {digits} < {born})"
    )
