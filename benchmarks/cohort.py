"""Cohort questions over the health records of ten hospitals, beside PostgreSQL.

Each node has 1.8 million persons, 10 million conditions and 3 million image series, made up with a fixed seed, in the
store that a node has (`wardround.node.records.store`, DuckDB as it is set by default). One person in a hundred opted
out. What is timed is `wardround.node.cohort.census`: the store is opened, the vocabulary is asked for what lies
below a code, the question is compiled, those who opted out are taken away, and people and those of the secret third are
counted. The message, the budget and the log are not in it.

- `one node`: one process asks its own store, one question after the other. The first loads libraries too, and isn't
  counted; `after a pause` is one for which the store has to be opened anew, as for whoever asks once a minute.
- `ten nodes`: ten processes, each with its own home, are asked at once, on two processor cores.
- `PostgreSQL`: the same rows in Debian's PostgreSQL, with the indexes and keys that the store makes there, analysed, on
  a Unix socket; asked by the same code. `work_mem` and `shared_buffers` are raised as one would for such data.

The typical question is of women of 40 and more at a diagnosis, or one below it, who had an MR of the head within a year
after it. The wide one breaks everybody with images down by age, sex, modality and manufacturer. Memory is the peak of
the resident set of the process that answers, Python and its libraries included.

The files of the ten nodes are one file under ten names, so that ten times the disk isn't needed; each node opens it by
itself. Its pages are in the operating system's cache after the first.

Run as `python benchmarks/cohort.py [--quick] [--json FILE] [--data FOLDER]`; what was made is kept in that folder and
used again. The full run needs 12 GB of disk.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b32encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from _bench import machine
from sqlalchemy import insert

from wardround.contracts.cohort_builder import after, aged, codes, condition, imaging, patients
from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.task import Axis
from wardround.foundation.database import Database
from wardround.node.cohort.census import Census
from wardround.node.optout.tables import OptOut, PatientKey
from wardround.node.records.keys import RecordKeys
from wardround.node.records.lingering import SECONDS as LINGERS
from wardround.node.records.schema import TABLES, Type, clustered
from wardround.node.records.store import Records
from wardround.node.records.vocabulary import VERSION
from wardround.node.settings import RecordsSettings

SECRET = bytes(range(32))
PIECE = 1_000_000
NODES = 10
PAUSE = LINGERS + 1
SECONDS, MEGABYTES = 1.0, 400
OPTED_OUT = 0.01
CODE = "230690007"
DIAGNOSIS = condition(codes("SNOMED", CODE))
_HEAD = imaging(modality="MR", body_part="HEAD")
TYPICAL = patients.of_sex("F").and_(aged(40, at=DIAGNOSIS), after(_HEAD, DIAGNOSIS, at_most=365)).question()
WIDE = patients.with_(imaging()).question()
AXES: tuple[Axis, ...] = ("age", "sex", "modality", "manufacturer")
QUESTIONS: dict[str, tuple[CohortQuestion, tuple[Axis, ...]]] = {
    "typical": (TYPICAL, ()),
    "typical by age and sex": (TYPICAL, ("age", "sex")),
    "wide": (WIDE, AXES),
}
BELOW = 60
"""Concepts below the diagnosis that is asked for; they lie anywhere among the others, as OMOP's do."""
CONCEPTS = 20_000
"""Of the vocabulary's, those of which there are records."""
VOCABULARY = 400_000


@dataclass(frozen=True)
class Size:
    name: str
    persons: int
    conditions: int
    images: int


FULL = Size("full", 1_800_000, 10_000_000, 3_000_000)
QUICK = Size("quick", 180_000, 1_000_000, 300_000)


class Maker:
    """The rows of one hospital, as Parquet files of the store's columns; the same each time."""

    def __init__(self, size: Size, folder: Path) -> None:
        self._size, self._folder = size, folder
        self._draw = np.random.default_rng(20261124)
        keys, self._names = RecordKeys(SECRET), [pseudonym(number) for number in range(size.persons)]
        self._ids = np.array([keys.person(name) for name in self._names], np.int64)
        self._secret_words = np.array([keys.word(name) for name in self._names], np.int64)
        numbers = np.unique(self._draw.integers(30_000, 46_000_000, int(VOCABULARY * 1.02)))[:VOCABULARY]
        self._vocabulary = numbers.astype(np.int32)
        mixed = self._draw.permutation(self._vocabulary)
        self._asked, self._common = mixed[: BELOW + 1], mixed[BELOW + 1 : BELOW + 1 + CONCEPTS]
        self._born = self._draw.integers(1925, 2015, size.persons).astype(np.int32)

    def make(self) -> None:
        for name, rows in (
            ("person", self._persons), ("person_word", self._words), ("condition_occurrence", self._conditions),
            ("image_occurrence", self._images), ("concept", self._concepts), ("concept_ancestor", self._ancestors),
        ):  # fmt: skip
            for number, columns in enumerate(rows()):
                self._write(name, number, columns)

    def _write(self, name: str, number: int, columns: dict[str, Any]) -> None:
        kinds = {Type.INTEGER: pa.int32(), Type.BIGINT: pa.int64(), Type.FLOAT: pa.float64(), Type.TEXT: pa.string(),
                 Type.DATE: pa.date32(), Type.TIMESTAMP: pa.timestamp("us"), Type.BOOLEAN: pa.bool_()}  # fmt: skip
        length = len(next(iter(columns.values())))
        arrays = {
            column.name: pa.array(columns[column.name]).cast(kinds[column.type])
            if column.name in columns
            else pa.nulls(length, kinds[column.type])
            for column in TABLES[name].columns
        }
        pa.parquet.write_table(pa.table(arrays), self._folder / f"{name}.{number:02d}.parquet")

    def _persons(self) -> Iterator[dict[str, Any]]:
        draw, count = self._draw, self._size.persons
        yield {
            "person_id": self._ids,
            "gender_concept_id": draw.choice([8532, 8507], count),
            "year_of_birth": self._born,
            "month_of_birth": draw.integers(1, 13, count),
            "day_of_birth": draw.integers(1, 29, count),
            "race_concept_id": draw.choice([0, 8515, 8516, 8527], count),
            "ethnicity_concept_id": np.zeros(count, np.int32),
            "person_source_value": self._names,
        }

    def _words(self) -> Iterator[dict[str, Any]]:
        yield {"person_id": self._ids, "word": self._secret_words}

    def _conditions(self) -> Iterator[dict[str, Any]]:
        draw = self._draw
        for start in range(0, self._size.conditions, PIECE):
            count = min(PIECE, self._size.conditions - start)
            who = draw.integers(0, len(self._ids), count)
            common = self._common[(CONCEPTS * draw.random(count) ** 3).astype(np.int32)]
            # Two in a hundred are the diagnosis that is asked for, or lie below it.
            concept = np.where(draw.random(count) < 0.02, draw.choice(self._asked, count), common)
            yield {
                "condition_occurrence_id": draw.integers(1, 2**62, count),
                "person_id": self._ids[who],
                "condition_concept_id": concept,
                "condition_start_date": self._days(who, count),
                "condition_type_concept_id": np.full(count, 32817, np.int32),
                "condition_source_value": _text("ICD10CM:C", concept),
                "condition_source_concept_id": np.zeros(count, np.int32),
                "origin": np.ones(count, np.int32),
            }

    def _images(self) -> Iterator[dict[str, Any]]:
        draw, people = self._draw, max(1, int(0.4 * len(self._ids)))
        modalities, parts = np.array(["MR", "CT", "DX", "US", "MG"]), np.array(["HEAD", "CHEST", "ABDOMEN", "KNEE"])
        makers = np.array(["SIEMENS", "GE MEDICAL SYSTEMS", "Philips Medical Systems", "CANON", "FUJIFILM", "HOLOGIC"])
        words = np.array([f"protocol {number} ax t{number % 2 + 1}" for number in range(200)])
        for start in range(0, self._size.images, PIECE):
            count = min(PIECE, self._size.images - start)
            who = draw.integers(0, people, count)
            day = self._days(who, count)
            numbers = draw.integers(1, 2**62, count)
            yield {
                "image_occurrence_id": numbers,
                "person_id": self._ids[who],
                "image_occurrence_date": day,
                "image_study_uid": _text("2.25.10000000000000000", numbers // 4),
                "image_series_uid": _text("2.25.20000000000000000", numbers),
                "modality_concept_id": np.zeros(count, np.int32),
                "modality": draw.choice(modalities, count, p=[0.25, 0.3, 0.3, 0.1, 0.05]),
                "body_part": draw.choice(parts, count),
                "description": draw.choice(words, count),
                "manufacturer": draw.choice(makers, count),
                "slice_thickness_mm": draw.choice([0.9, 1.0, 3.0, 5.0], count),
                "has_label": draw.random(count) < 0.01,
                "age_years": np.maximum(0, day.astype("datetime64[Y]").astype(int) + 1970 - self._born[who]),
            }

    def _days(self, who: Any, count: int) -> Any:
        """Days of 2010 to 2024, none before a birth."""
        first = np.maximum(self._born[who], 2010) - 1970
        return (first * 365.25 + self._draw.random(count) * (54 - first) * 365.25).astype("datetime64[D]")

    def _concepts(self) -> Iterator[dict[str, Any]]:
        numbers = self._vocabulary
        code = _text("", numbers).to_pylist()
        code[int(np.searchsorted(numbers, self._asked[0]))] = CODE
        count = len(numbers)
        yield {
            "concept_id": numbers, "concept_name": _text("concept ", numbers), "domain_id": ["Condition"] * count,
            "vocabulary_id": ["SNOMED"] * count, "concept_class_id": ["Disorder"] * count,
            "standard_concept": ["S"] * count, "concept_code": code,
        }  # fmt: skip

    def _ancestors(self) -> Iterator[dict[str, Any]]:
        below, places = self._vocabulary, np.arange(VOCABULARY)
        above = [below, *(below[places // few * few] for few in (7, 90, 2000)), np.full(BELOW + 1, self._asked[0])]
        lower = [below] * 4 + [self._asked]
        kept = np.unique(np.stack([np.concatenate(above), np.concatenate(lower)]), axis=1)
        yield {
            "ancestor_concept_id": kept[0],
            "descendant_concept_id": kept[1],
            "min_levels_of_separation": np.ones(kept.shape[1], np.int32),
            "max_levels_of_separation": np.ones(kept.shape[1], np.int32),
        }


def pseudonym(number: int) -> str:
    """Of one of the persons, as a node's own are."""
    return "WR-" + b32encode(sha256(str(number).encode()).digest()[:10]).decode()


def _text(before: str, numbers: Any) -> Any:
    return pc.binary_join_element_wise(before, pa.array(numbers).cast(pa.string()), "")


def made(folder: Path, size: Size) -> Path:
    """A folder with the home of one node, `rows` (Parquet) and `omop`, made unless it is there."""
    home = folder / size.name
    if (home / "done").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    rows = home / "rows"
    rows.mkdir(parents=True)
    started = time.perf_counter()
    Maker(size, rows).make()
    print(f"rows made in {time.perf_counter() - started:.0f} s", flush=True)
    started = time.perf_counter()
    with Records(home / "omop").writing() as connection:
        for name in TABLES:
            files = [str(file) for file in sorted(rows.glob(f"{name}.*.parquet"))]
            if files:
                columns = ", ".join(TABLES[name].names)
                put = f"INSERT INTO {name} ({columns}) SELECT {columns} FROM read_parquet(?)"  # noqa: S608 - our names
                connection.run(put + clustered(TABLES[name]), [files])
        moment = datetime(2026, 11, 24, tzinfo=UTC).replace(tzinfo=None)
        connection.run("INSERT INTO record_load VALUES (1, 1, ?, 'benchmark', '{}')", [moment])
        connection.set_mark(VERSION, "benchmark")
    print(f"loaded into DuckDB in {time.perf_counter() - started:.0f} s", flush=True)
    _opt_out(home, size)
    (home / "done").touch()
    return home


def _opt_out(home: Path, size: Size) -> None:
    """One in a hundred persons."""
    database = node_database(home)
    database.upgrade()
    count = int(size.persons * OPTED_OUT)
    with database.writing() as session:
        moment = datetime(2026, 11, 24, tzinfo=UTC)
        out = [
            {"key": f"{number:064x}", "kind": "nhs", "added_at": moment, "added_by": "us"} for number in range(count)
        ]
        session.execute(insert(OptOut), out)
        session.execute(
            insert(PatientKey),
            [{"key": f"{number:064x}", "pseudonym": pseudonym(number * 100)} for number in range(count)],
        )
    database.close()


def node_database(home: Path) -> Database:
    return Database(f"sqlite:///{home / 'node.db'}", migrations="wardround.node.migrations")


def census(home: Path, postgresql: str = "") -> Census:
    def nothing(_question: CohortQuestion, _by: tuple[Axis, ...]) -> Any:
        raise AssertionError("the records answer")

    records = Records(home / "omop", RecordsSettings(database=postgresql))
    return Census(records, node_database(home), RecordKeys(SECRET), nothing)


def serve(home: Path, postgresql: str) -> None:
    """The child: a line with a question's name comes in, a line of JSON with what it took goes out."""
    counting = census(home, postgresql)
    print("{}", flush=True)
    for line in sys.stdin:
        question, by = QUESTIONS[line.strip()]
        started, cpu = time.perf_counter(), time.process_time()
        found = counting(question, by)
        print(
            json.dumps(
                {
                    "wall": time.perf_counter() - started,
                    "cpu": time.process_time() - cpu,
                    "rss": peak(),
                    "people": found.people.people,
                    "counted": found.people.counted,
                    "groups": {axis: {name: one.people for name, one in sorted(part.items())}
                               for axis, part in found.parts.items()},
                }
            ),
            flush=True,
        )  # fmt: skip


def peak() -> float:
    """Megabytes of this process's largest resident set; getrusage(2) would tell its parent's, were that larger."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


class Node:
    """A process that answers."""

    def __init__(self, home: Path, postgresql: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(home), "--postgresql", postgresql],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._asked, self._told = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        self.read()

    def ask(self, name: str) -> None:
        self._asked.write(f"{name}\n")
        self._asked.flush()

    def read(self) -> dict[str, Any]:
        line = self._told.readline()
        if not line:
            raise SystemExit("a node's process ended; see above")
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)


def asked(node: Node, name: str, times: int, pause: float = 0.0) -> list[dict[str, Any]]:
    answers = []
    for _ in range(times):
        time.sleep(pause)
        node.ask(name)
        answers.append(node.read())
    return answers


def quickest(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return min(answers, key=lambda one: one["wall"])


@contextmanager
def postgresql(home: Path, size: Size) -> Iterator[str]:
    """The URL of a server with the same rows; its data stay beside them."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    data, log = home / "postgresql", home / "postgresql.log"
    other: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    loaded = home / "postgresql-done"
    if not loaded.exists():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        log.touch()
        if other:
            home.parent.chmod(home.parent.stat().st_mode | 0o011)  # PostgreSQL's own user has to reach what lies in it
            for one in (data, log):
                shutil.chown(one, "postgres")
        subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], check=True,
                       capture_output=True, cwd="/", **other)  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="wardround-pg-") as socket:
        if other:
            shutil.chown(socket, "postgres")
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{socket}' -c fsync=off -c shared_buffers=512MB "
            "-c work_mem=64MB -c maintenance_work_mem=512MB -c max_wal_size=8GB -c wal_level=minimal "
            "-c max_wal_senders=0"
        )
        control = [str(programs / "pg_ctl"), "-D", str(data), "-w", "-s"]
        subprocess.run([*control, "-l", str(log), "-o", options, "start"], check=True, cwd="/", **other)
        try:
            url = f"postgresql://postgres@/postgres?host={socket}"
            if not loaded.exists():
                started = time.perf_counter()
                _load(url, home)
                loaded.touch()
                print(f"loaded into PostgreSQL in {time.perf_counter() - started:.0f} s", flush=True)
            yield url
        finally:
            subprocess.run([*control, "-m", "fast", "stop"], check=True, cwd="/", **other)


def _load(url: str, home: Path) -> None:
    """Tables, keys and indexes as the store makes them, these after the rows; then statistics."""
    import psycopg

    with Records(home / "unused", RecordsSettings(database=url)).writing() as connection:
        connection.run("INSERT INTO record_load VALUES (1, 1, now(), 'benchmark', '{}')")
        connection.set_mark(VERSION, "benchmark")
    plain = "postgresql:" + url.split(":", 1)[1]
    with psycopg.connect(plain, autocommit=True) as link:
        keys = link.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'p' AND connamespace = 'public'::regnamespace"
        ).fetchall()
        indexes = link.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%pkey'"
        ).fetchall()
        for table, name, _ in keys:
            link.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in indexes:
            link.execute(f"DROP INDEX {name}")
        for name in TABLES:
            columns = ", ".join(TABLES[name].names)
            for file in sorted((home / "rows").glob(f"{name}.*.parquet")):
                with link.cursor() as cursor, cursor.copy(f"COPY {name} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                    for batch in pa.parquet.ParquetFile(file).iter_batches(100_000):
                        text = io.BytesIO()
                        pa.csv.write_csv(batch, text, pa.csv.WriteOptions(include_header=False))
                        copy.write(text.getvalue())
        for table, name, definition in keys:
            link.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for _, definition in indexes:
            link.execute(definition)
        link.execute("VACUUM ANALYZE")


def ten(home: Path, folder: Path) -> list[Path]:
    """Ten homes whose records are the same file under ten names."""
    homes = []
    for number in range(NODES):
        one = folder / f"node-{home.name}-{number}"
        (one / "omop").mkdir(parents=True, exist_ok=True)
        for name in ("omop/records.duckdb", "node.db"):
            (one / name).unlink(missing_ok=True)
            (one / name).hardlink_to(home / name)
        homes.append(one)
    return homes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows; a few minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="keep what is made here, and use it again")
    parser.add_argument("--times", type=int, default=5, help="how often each is asked; the quickest counts")
    parser.add_argument("--without-postgresql", action="store_true", help="measure our side alone")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--postgresql", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve is not None:
        serve(options.serve, options.postgresql)
        return 0
    size = QUICK if options.quick else FULL
    with ExitStack() as stack:
        folder = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardround-cohort-")))
        folder.mkdir(parents=True, exist_ok=True)
        rows = measured(folder.resolve(), size, options.times, beside=not options.without_postgresql)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
    return 0 if all(row["met"] for row in rows) else 1


def measured(folder: Path, size: Size, times: int, *, beside: bool) -> list[dict[str, Any]]:
    """Make what isn't there, ask, print the table, and give its rows."""
    print(
        f"{machine()}\n{size.persons:,} persons, {size.conditions:,} conditions, {size.images:,} series a node\n"
        f"typical: {TYPICAL.in_words()}\nwide: {WIDE.in_words()}, by {', '.join(AXES)}\n",
        flush=True,
    )
    home = made(folder, size)
    rows: list[dict[str, Any]] = []
    ours: dict[str, dict[str, Any]] = {}
    print(f"{'':50} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}  people")

    def line(name: str, answer: dict[str, Any]) -> None:
        print(
            f"{name:50} {answer['wall']:8.3f} {answer['cpu']:8.3f} {answer['rss']:8.0f}  {answer['people']:,}",
            flush=True,
        )

    for name in QUESTIONS:
        with Node(home) as node:
            first, *more = asked(node, name, times + 1)
            rested = asked(node, name, times, PAUSE)
        line(f"one node, {name}, first", first)
        line(f"one node, {name}, after a pause", quickest(rested))
        ours[name] = quickest(more) | {"rss": max(one["rss"] for one in (first, *more, *rested))}
        line(f"one node, {name}", ours[name])
        rows.append(_row(f"memory of one node, {name}", ours[name]["rss"], MEGABYTES, "MB of peak resident memory"))
    theirs: dict[str, dict[str, Any]] = {}
    if beside:
        with postgresql(home, size) as url:
            for name in QUESTIONS:
                with Node(home, url) as node:
                    theirs[name] = quickest(asked(node, name, min(times, 3)))
                line(f"PostgreSQL, {name}", theirs[name])
                same = all(theirs[name][what] == ours[name][what] for what in ("people", "counted", "groups"))
                rows.append(_row(f"answers that differ from PostgreSQL's, {name}", 0 if same else 1, 0, "answers"))
                rows.append(
                    _row(f"one node, {name}", ours[name]["wall"], None, "s",
                         {"PostgreSQL": theirs[name]["wall"]})
                )  # fmt: skip
                print(f"{'':50} {theirs[name]['wall'] / ours[name]['wall']:8.1f} times ours", flush=True)
    with ExitStack() as stack:
        nodes = [stack.enter_context(Node(one)) for one in ten(home, folder)]
        for name in QUESTIONS:
            line(f"ten nodes at once, {name}, first", _at_once(nodes, name, 1))
            for when, pause in ((", after a pause", PAUSE), ("", 0.0)):
                whole = _at_once(nodes, name, times, pause)
                line(f"ten nodes at once, {name}{when}", whole)
                target = SECONDS if name == "typical" else None
                rows.append(_row(f"ten nodes, {name}{when}", whole["wall"], target, "s until the last has answered"))
    return rows


def _at_once(nodes: Sequence[Node], name: str, times: int, pause: float = 0.0) -> dict[str, Any]:
    """The quickest time until the last of them has answered; the least processor time of them together."""
    walls, cpus, answers = [], [], []
    for _ in range(times):
        time.sleep(pause)
        started = time.perf_counter()
        for node in nodes:
            node.ask(name)
        answers = [node.read() for node in nodes]
        walls.append(time.perf_counter() - started)
        cpus.append(sum(one["cpu"] for one in answers))
    people, peak = sum(one["people"] for one in answers), max(one["rss"] for one in answers)
    return {"wall": min(walls), "cpu": min(cpus), "rss": peak, "people": people}


def _row(
    name: str, ours: float, target: float | None, unit: str, peers: dict[str, float] | None = None
) -> dict[str, Any]:
    met = target is None or ours <= target
    if not met:
        print(f"  MISSED: {name}: {ours:.3g}, wanted at most {target:.3g} {unit}")
    return {"name": name, "ours": round(ours, 4), "peers": peers or {}, "target": target, "met": met, "unit": unit}


if __name__ == "__main__":
    raise SystemExit(main())
