"""Is every object that the index names there and what it was, and is nothing there that no row names?

Goes through the store shard by shard (the first byte of the digest), hashing several files at once. What was found
is kept after each shard, so that a verification that was stopped goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import func, select

from wardround.foundation.database import Database
from wardround.foundation.files import ObjectStore, write_whole
from wardround.node import audit
from wardround.node.enclave.tables import EnclaveInstance, EnclaveRemoval, EnclaveSeries

GRACE = timedelta(hours=24)
"""How old an orphan must be before it may be removed: an object is on the disk before its row is written."""

_SHARDS = 256
_BLOCK = 1 << 20
_RESUMED_WITHIN = timedelta(days=7)


class Fault(BaseModel):
    """An object that the index names and that can't be used, and whose it is, by new UIDs."""

    digest: str
    kind: Literal["missing", "damaged"]
    studies: list[str]
    instances: int

    def hint(self) -> str:
        """How to mend it."""
        return (
            f"restore enclave/objects/{self.digest[:2]}/{self.digest} from a backup, or purge "
            f"{'its study' if len(self.studies) == 1 else 'its studies'} with `wardround enclave purge --study UID` "
            "and have the PACS send it again"
        )


class Orphan(BaseModel):
    """An object that no row names: what a crash left between the store and the index, or an index that was put back
    to an older state. `put_at` in seconds since 1970."""

    digest: str
    bytes: int
    put_at: float


class Verification(BaseModel):
    """What was found so far; `done` counts shards."""

    fast: bool
    started_at: datetime
    done: int = 0
    objects: int = 0
    bytes: int = 0
    faults: list[Fault] = Field(default_factory=list)
    orphans: list[Orphan] = Field(default_factory=list)
    unnamed: int = 0
    waiting: int = 0

    @property
    def finished(self) -> bool:
        return self.done == _SHARDS

    @property
    def sound(self) -> bool:
        return self.finished and not self.faults


class Verifier:
    """Verifies an enclave.

    Args:
        notes: the file in which an unfinished verification is kept.
        threads: how many objects are hashed at once.
    """

    def __init__(self, database: Database, objects: ObjectStore, notes: Path, *, threads: int = 2) -> None:
        self._database = database
        self._objects = objects
        self._notes = notes
        self._threads = threads

    def unfinished(self, *, fast: bool, at: datetime) -> Verification | None:
        """A verification of this kind that was stopped within the last week."""
        try:
            kept = Verification.model_validate_json(self._notes.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        fresh = kept.fast == fast and at - kept.started_at < _RESUMED_WITHIN
        return kept if fresh and not kept.finished else None

    def run(
        self,
        *,
        fast: bool,
        at: datetime,
        anew: bool = False,
        on_shard: Callable[[Verification], None] = lambda _: None,
    ) -> Verification:
        """Verify all, or what an unfinished verification has left.

        Args:
            fast: look at names and sizes only, and hash nothing.
            anew: begin at the first shard.
            on_shard: told after each of 256 shards.
        """
        found = None if anew else self.unfinished(fast=fast, at=at)
        found = found or Verification(fast=fast, started_at=at)
        with ThreadPoolExecutor(self._threads) as pool:
            while not found.finished:
                self._shard(f"{found.done:02x}", found, pool)
                found.done += 1
                write_whole(self._notes, found.model_dump_json().encode())
                on_shard(found)
        found.unnamed = sum(1 for _ in self._objects.rubbish())
        with self._database.reading() as session:
            found.waiting = session.scalar(select(func.count()).select_from(EnclaveRemoval)) or 0
        found.faults = [fault for fault in found.faults if self._still(fault, fast)]
        write_whole(self._notes, found.model_dump_json().encode())
        return found

    def remove_orphans(self, found: Verification, *, actor: str, at: datetime, grace: timedelta = GRACE) -> int:
        """Remove the orphans older than `grace`, and what a crash left without a name; returns how many files.

        Each is looked up in the index once more, in the transaction that writes the audit.
        """
        oldest = (at - grace).timestamp()
        gone: list[str] = []
        for start in range(0, len(found.orphans), 500):
            chunk = found.orphans[start : start + 500]
            with self._database.writing() as session:
                names = [orphan.digest for orphan in chunk]
                named = set(session.scalars(select(EnclaveInstance.digest).where(EnclaveInstance.digest.in_(names))))
                due = [
                    orphan
                    for orphan in chunk
                    if orphan.digest not in named and not self._objects.put_since(orphan.digest, oldest)
                ]
                size = sum(orphan.bytes for orphan in due)
                audit.record(
                    session, actor, "remove-orphans", "enclave", f"{len(due)} objects, {size} bytes", clock=lambda: at
                )
                for orphan in due:
                    self._objects.remove(orphan.digest)
                gone += [orphan.digest for orphan in due]
        left = 0
        for path in list(self._objects.rubbish()):
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
                left += 1
        found.orphans = [orphan for orphan in found.orphans if orphan.digest not in set(gone)]
        found.unnamed -= left
        return len(gone) + left

    def _shard(self, shard: str, found: Verification, pool: ThreadPoolExecutor) -> None:
        # Rows first: an object whose row comes after this look is on the disk already and no gap.
        rows = self._rows(shard)
        files: dict[str, os.stat_result] = {}
        folder = self._objects.root / shard
        if folder.is_dir():
            with os.scandir(folder) as entries:
                files = {entry.name: entry.stat() for entry in entries if not entry.name.startswith(".")}
        there = sorted(digest for digest in rows if digest in files)
        wrong = set(rows) - set(there)
        wrong |= {digest for digest in there if files[digest].st_size != rows[digest]}
        if not found.fast:
            whole = [digest for digest in there if digest not in wrong]
            wrong |= {digest for digest, sound in zip(whole, pool.map(self._hashes, whole), strict=True) if not sound}
        found.objects += len(rows)
        found.bytes += sum(rows.values())
        for digest in sorted(wrong):
            found.faults.append(self._fault(digest, "damaged" if digest in files else "missing"))
        # Rows once more: what was put and indexed since the first look is no orphan.
        strangers = set(files) - set(rows)
        if strangers:
            strangers -= set(self._rows(shard))
        for digest in sorted(strangers):
            told = files[digest]
            found.orphans.append(Orphan(digest=digest, bytes=told.st_size, put_at=told.st_mtime))

    def _rows(self, shard: str) -> dict[str, int]:
        query = select(EnclaveInstance.digest, EnclaveInstance.size).where(
            EnclaveInstance.digest >= shard, EnclaveInstance.digest < shard + "g"
        )
        with self._database.reading() as session:
            return dict(session.execute(query).all())

    def _hashes(self, digest: str) -> bool:
        seen = sha256()
        try:
            with self._objects.path(digest).open("rb", buffering=0) as file:
                while block := file.read(_BLOCK):
                    seen.update(block)
                # What is read once for this must not push out of memory what the node is working on.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            return False
        return seen.hexdigest() == digest

    def _fault(self, digest: str, kind: Literal["missing", "damaged"]) -> Fault:
        query = (
            select(EnclaveSeries.study_uid, func.count())
            .join(EnclaveInstance, EnclaveInstance.series_uid == EnclaveSeries.uid)
            .where(EnclaveInstance.digest == digest)
            .group_by(EnclaveSeries.study_uid)
            .order_by(EnclaveSeries.study_uid)
        )
        with self._database.reading() as session:
            rows: Sequence[tuple[str, int]] = [(study, count) for study, count in session.execute(query)]
        studies = [study for study, _ in rows]
        return Fault(digest=digest, kind=kind, studies=studies, instances=sum(count for _, count in rows))

    def _still(self, fault: Fault, fast: bool) -> bool:
        """Whether it wasn't purged or mended since it was found."""
        with self._database.reading() as session:
            size = session.scalar(select(EnclaveInstance.size).where(EnclaveInstance.digest == fault.digest).limit(1))
        if size is None:
            return False
        return self._objects.size(fault.digest) != size or (not fast and not self._hashes(fault.digest))


def step_aside() -> None:
    """Give this process the lowest priority for processor and disk, so that it holds nothing else up."""
    import psutil

    os.nice(10)
    if hasattr(psutil, "IOPRIO_CLASS_IDLE"):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
