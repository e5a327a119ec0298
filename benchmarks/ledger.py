"""The ledger: how fast it takes entries, how long a proof takes, and what a mirror needs, beside pymerkle.

Run as `python benchmarks/ledger.py [--quick] [--json FILE]`. A million entries, or 200,000 with `--quick`, in batches
of 1,000, each batch a transaction that is on disk before the next begins, on SQLite and, where it is installed, on
PostgreSQL. Ours and the peer take turns, a twentieth of the entries at a time; rates are medians of those turns.

What each figure holds: *stored and hashed* is what pymerkle does too, the tree and the rows. *Taken* is all that the
hub does when a batch comes in: reading, the one form, finding what is there already, what entries name, which tree
their origin saw, the Ed25519 signature of each, the tree and the rows. A batch's signatures are verified on all cores,
before its transaction. *All but signatures* is that without the verifications, for 20,000 entries more on the ledger
that is so long by then. *Mirrored* is all that a site checks, signatures too, into SQLite. What one part left unwritten
is flushed before the next begins. Where others use the machine meanwhile, the rates for each second of processor time
tell more.

The peer is pymerkle's `SqliteTree` where pymerkle is installed (it is GPL: a benchmark may run it, nothing else here
uses it), else a tree in memory that is made of RFC 6962's definitions, hash by hash.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).parents[1]))

from _bench import machine
from tests import postgresql
from tests.unit.ledger.federation import ORIGIN, PROJECT, open_database

from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import HUB, Approval, Manifest, Member, Update
from wardround.foundation.database import Database
from wardround.ledger import admission, envelope, members, store, tables
from wardround.ledger.checkpoint import open_checkpoint
from wardround.ledger.log import Log
from wardround.ledger.mirror import Mirror
from wardround.ledger.proof import verify_consistency, verify_inclusion
from wardround.ledger.store import Row

BATCH = 1000
MORE = 20 * BATCH
TURNS = 20
START = datetime(2026, 1, 1, tzinfo=UTC)
TARGET_RATE = 10_000
TARGET_PROOF_MS = 1.0
TARGET_MEMORY_MB = 20


class Entries:
    """Updates of one site under one manifest, made from a template: 5,000 for each second of their own time."""

    def __init__(self) -> None:
        self.hub = Ed25519PrivateKey.generate()
        self.key = Ed25519PrivateKey.generate()
        self.log = Log(ORIGIN, self.hub)
        self.update = self._signed(
            Update(origin="north", at=START, run="run-1", round=1, digest=PROJECT, manifest=2, steps=1)
        )

    def _signed(self, entry: Any) -> bytes:
        from wardround.ledger.envelope import sign_entry

        return sign_entry(entry, self.key, ORIGIN)

    def begin(self, database: Database) -> None:
        """A member, its approval and its manifest: the first three entries."""
        from base64 import b64encode

        mirror = Mirror(database, "north", self.log.vkey, self.key)
        raw = b64encode(self.key.public_key().public_bytes_raw()).decode()
        announced = Member(origin=HUB, at=START, site="north", entry_key=raw, witness=mirror.vkey)
        approval = Approval(origin="north", at=START, project="glioma", project_digest=PROJECT)
        frozen = Manifest(
            origin="north", at=START, project="glioma", approval=1, people=Count(about=20), commitment=PROJECT
        )
        with database.writing() as tx:
            self.log.record(tx, announced)
            self.log.append_many(tx, [self._signed(approval), self._signed(frozen)])

    def batches(self, start: int, end: int) -> Iterator[list[bytes]]:
        """Entries in their one form whose signatures don't hold."""
        text = self.update.decode()
        at, nonce = START.strftime("%Y-%m-%dT%H:%M:%SZ"), json.loads(text)["entry"]["nonce"]
        for first in range(start, end, BATCH):
            yield [
                text.replace(at, (START + timedelta(seconds=number // 5000)).strftime("%Y-%m-%dT%H:%M:%SZ"), 1)
                .replace(nonce, f"{number:032x}", 1)
                .encode()
                for number in range(first, min(first + BATCH, end))
            ]

    def signed(self, start: int, end: int) -> Iterator[list[bytes]]:
        """Entries as a site sends them."""
        for first in range(start, end, BATCH):
            yield [
                self._signed(
                    Update(
                        origin="north",
                        at=START + timedelta(seconds=number // 5000),
                        run="run-2",
                        round=1,
                        digest=PROJECT,
                        manifest=2,
                        steps=number,
                    )
                )
                for number in range(first, min(first + BATCH, end))
            ]


class Naive:
    """RFC 6962's tree in memory, from its definitions: the whole of each subtree is hashed again for a proof."""

    name = "naive tree in memory"

    def __init__(self, _folder: Path) -> None:
        self.leaves: list[bytes] = []

    def append(self, batch: list[bytes]) -> None:
        self.leaves += [sha256(b"\x00" + data).digest() for data in batch]

    def _root(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self.leaves[start]
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        return sha256(b"\x01" + self._root(start, middle) + self._root(middle, end)).digest()

    def inclusion(self, index: int, size: int) -> None:
        low, high = 0, size
        while high - low > 1:
            middle = low + (1 << ((high - low - 1).bit_length() - 1))
            if index < middle:
                self._root(middle, high)
                high = middle
            else:
                self._root(low, middle)
                low = middle

    def consistency(self, first: int, size: int) -> None:
        self.inclusion(first - 1, size)


class Pymerkle:
    name = "pymerkle SqliteTree"

    def __init__(self, folder: Path) -> None:
        from pymerkle import SqliteTree

        self.tree = SqliteTree(str(folder / "peer.db"))

    def append(self, batch: list[bytes]) -> None:
        self.tree.append_entries(batch)

    def inclusion(self, index: int, size: int) -> None:
        self.tree.prove_inclusion(index + 1, size)

    def consistency(self, first: int, size: int) -> None:
        self.tree.prove_consistency(first, size)


def peer_class() -> type[Naive] | type[Pymerkle]:
    try:
        import pymerkle  # noqa: F401 - whether it is there
    except ImportError:
        return Naive
    return Pymerkle


@dataclass
class Measured:
    rows: list[dict[str, Any]]

    def add(self, name: str, ours: float, unit: str, target: str = "", met: bool | None = None, **peers: float) -> None:
        named = {peer.replace("_", " "): round(value, 3) for peer, value in peers.items()}
        row = {"name": name, "ours": round(ours, 3), "peers": named, "target": target, "met": met, "unit": unit}
        self.rows.append(row)
        ratios = ", ".join(f"{peer} {value} ({ours / value:.2f}x)" for peer, value in named.items() if value)
        verdict = {True: f"target {target}: met", False: f"target {target}: NOT met", None: ""}[met]
        print(f"{name}: ours {row['ours']} {unit}; {ratios} {verdict}".rstrip("; "), flush=True)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def without_signatures() -> Callable[[], None]:
    """From here on every entry's signature is taken to hold, until what is returned is called."""
    one, many = members.is_signed_by, admission.check_together
    members.is_signed_by = lambda *_arguments: True  # type: ignore[assignment]
    admission.check_together = lambda claims, _ledger: [True] * len(claims)  # type: ignore[assignment]

    def honest() -> None:
        members.is_signed_by, admission.check_together = one, many

    return honest


def verifications(entries: Entries) -> tuple[float, float]:
    """How many signatures a second the library verifies, on one core and on all."""
    [signed] = entries.signed(0, BATCH)
    claims = [(store.read_signed_entry(data), entries.key.public_key().public_bytes_raw(), data) for data in signed]

    def one_by_one() -> None:
        for claim in claims:
            envelope.check_together([claim], ORIGIN)

    one = statistics.median(BATCH / timed(one_by_one) for _ in range(5))
    together = statistics.median(BATCH / timed(lambda: envelope.check_together(claims, ORIGIN)) for _ in range(5))
    return one, together


def stored_and_hashed(database: Database, entries: Entries, peer: Any, total: int) -> tuple[float, float]:
    """Rates, entries a second, of the tree and the rows alone: ours and the peer's, in turns."""
    ours, theirs = [], []
    share = total // TURNS

    def store_batch(rows: list[Row]) -> None:
        with database.writing() as tx:
            store.extend(tx, store.frontier(tx, store.lock(tx)), rows)

    for turn in range(TURNS):
        batches = list(entries.batches(turn * share, (turn + 1) * share))
        parsed = [[Row.read(data) for data in batch] for batch in batches]

        def leaf_and_store(parsed: list[list[Row]] = parsed) -> None:
            for rows in parsed:
                store_batch([Row(store.leaf_hash(row.data), row.data, row.signed) for row in rows])

        def append(batches: list[list[bytes]] = batches) -> None:
            for batch in batches:
                peer.append(batch)

        ours.append(share / timed(leaf_and_store))
        theirs.append(share / timed(append))
    return statistics.median(ours), statistics.median(theirs)


def taken(database: Database, entries: Entries, start: int, total: int) -> tuple[float, float, float, float]:
    """Rates of all that the hub does: the median turn's, the slowest turn's, the whole's, and that for each second of
    this process's own processor time."""
    os.sync()
    rates, spent, worked = [], 0.0, 0.0
    share = total // TURNS

    def send(batches: list[list[bytes]]) -> None:
        for batch in batches:
            offer = entries.log.offer(batch)
            with database.writing() as tx:
                entries.log.take(tx, offer)

    for turn in range(TURNS):
        batches = list(entries.signed(start + turn * share, start + (turn + 1) * share))
        before = time.process_time()
        took = timed(partial(send, batches))
        worked += time.process_time() - before
        spent += took
        rates.append(share / took)
    return statistics.median(rates), min(rates), total / spent, total / worked


def proofs(database: Database, entries: Entries, peer: Any, times: int) -> dict[str, tuple[float, float, float]]:
    """Milliseconds of an inclusion and a consistency proof: our median and 99th of 100, and the peer's median."""
    chance = random.Random(1)  # noqa: S311 - places to look at
    kinds: dict[str, tuple[list[float], list[float]]] = {"inclusion": ([], []), "consistency": ([], [])}
    with database.writing() as tx:
        size = entries.log.size(tx)
        root = open_checkpoint(entries.log.checkpoint(tx, START) or "", entries.log.verifier).root
    os.sync()
    with database.reading() as tx:
        for number in range(times):
            index = chance.randrange(size)
            first = chance.randrange(1, size)
            began = time.perf_counter()
            path = entries.log.inclusion(tx, index, size)
            middle = time.perf_counter()
            older = entries.log.consistency(tx, first, size)
            kinds["inclusion"][0].append(middle - began)
            kinds["consistency"][0].append(time.perf_counter() - middle)
            verify_inclusion(index, size, store.leaf_hash(store.entries(tx, index, 1)[0]), root, path)
            verify_consistency(first, size, store.root(tx, first), root, older)
            if peer is not None and number % max(1, times // 40) == 0:
                kinds["inclusion"][1].append(timed(lambda: peer.inclusion(index, size - 3)))  # noqa: B023 - at once
                kinds["consistency"][1].append(timed(lambda: peer.consistency(min(first, size - 3), size - 3)))  # noqa: B023 - at once
    return {
        kind: (
            statistics.median(ours) * 1000,
            sorted(ours)[int(len(ours) * 0.99)] * 1000,
            statistics.median(theirs) * 1000 if theirs else 0.0,
        )
        for kind, (ours, theirs) in kinds.items()
    }


def mirrored(url: str, vkey: str, total: int) -> dict[str, float]:
    """A mirror in a process of its own, fed from the hub's database: entries a second, and how its memory grew."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            __file__,
            "--mirror",
            url,
            "--vkey",
            vkey,
            "--entries",
            str(total),
            "--folder",
            folder,
        ]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def mirror_child(url: str, vkey: str, folder: Path) -> None:
    """Mirror everything in batches of 1,000, and print what it took."""
    hub = Database(url, migrations="none")
    database = open_database(folder / "node.db")
    mirror = Mirror(database, "north", vkey, Ed25519PrivateKey.generate())
    with hub.reading() as tx:
        size = store.newest_checkpoint(tx) or 0
        note = store.cosigned_note(tx, mirror._hub, size) or ""
    resident: list[float] = []
    line, start, began = None, 0, time.perf_counter()
    while line is None:
        with hub.reading() as tx:
            batch = store.entries(tx, start, BATCH)
        line = mirror.take(start, batch, note, START)
        start += len(batch)
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6)
    took = time.perf_counter() - began
    early = max(resident[: max(1, len(resident) // 10)])
    print(json.dumps({"rate": start / took, "grew": max(resident) - early, "resident": max(resident)}))


def on(kind: str, url: str, folder: Path, total: int, out: Measured) -> None:
    entries = Entries()
    name = peer_class().name

    def opened(which: str) -> Database:
        database = Database(url.format(which), migrations="none")
        tables.metadata.create_all(database.engine)
        entries.begin(database)
        return database

    peer_folder = folder / f"peer-{kind}"
    peer_folder.mkdir()
    peer = peer_class()(peer_folder)
    bare = opened("bare")
    ours, theirs = stored_and_hashed(bare, entries, peer, total)
    what = f"{kind}, {total:,} entries"
    out.add(f"{what}: stored and hashed", ours, "entries/s", f"{TARGET_RATE}", ours >= TARGET_RATE, **{name: theirs})
    bare.close()
    database = opened("whole")
    one, together = verifications(entries)
    median, slowest, whole, alone = taken(database, entries, 0, total)
    out.add(
        f"{what}: taken, with signatures",
        median,
        "entries/s",
        f"{TARGET_RATE}",
        median >= TARGET_RATE,
        Ed25519_verifications_alone_on_one_core=one,
        and_on_all=together,
    )
    out.add(f"{what}: taken, the slowest turn", slowest, "entries/s")
    out.add(f"{what}: taken, from first to last", whole, "entries/s")
    out.add(f"{what}: taken, for each second of processor time", alone, "entries/s")
    for proof, (middle, late, theirs) in proofs(database, entries, peer, 400).items():
        out.add(
            f"{what}: {proof} proof", middle, "ms", f"{TARGET_PROOF_MS}", middle < TARGET_PROOF_MS, **{name: theirs}
        )
        out.add(f"{what}: {proof} proof, 99 of 100", late, "ms")
    found = mirrored(url.format("whole"), entries.log.vkey, total)
    out.add(f"{what}: mirrored into SQLite, with signatures", found["rate"], "entries/s")
    out.add(
        f"{what}: a mirror's memory, growth after the first tenth",
        found["grew"],
        "MB",
        f"{TARGET_MEMORY_MB}",
        found["grew"] < TARGET_MEMORY_MB,
    )
    out.add(f"{what}: a mirror's memory, most", found["resident"], "MB")
    honest = without_signatures()
    median, _, _, alone = taken(database, entries, total, MORE)
    honest()
    out.add(f"{what}: taken after those, all but signatures", median, "entries/s")
    out.add(f"{what}: the same, for each second of processor time", alone, "entries/s")
    database.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200,000 entries; under 10 minutes")
    parser.add_argument("--entries", type=int, help="another number of entries")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--mirror", help=argparse.SUPPRESS)
    parser.add_argument("--vkey", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.mirror:
        mirror_child(options.mirror, options.vkey, options.folder)
        return 0
    total = options.entries or (200_000 if options.quick else 1_000_000)
    out = Measured([])
    print(f"{machine()}; {total:,} entries in batches of {BATCH:,}; peer: {peer_class().name}", flush=True)
    # As a hub does once it serves.
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        if options.only != "postgresql":
            on("SQLite", f"sqlite:///{folder}/{{}}.db", folder, total, out)
        if options.only != "sqlite" and postgresql.INSTALLED:
            server = stack.enter_context(postgresql.running())
            urls = {which: postgresql.fresh_database(server) for which in ("bare", "signed", "whole")}

            class Url(str):
                def format(self, which: str) -> str:  # type: ignore[override]
                    return urls[which]

            on("PostgreSQL (fsync off)", Url(), folder, total, out)
    print(machine())
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": out.rows}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
