"""A site's front door for tests: everything from the receiver's sink to the enclave, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pydicom
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardround.contracts.cohort_query import CohortQuestion
from wardround.demo.identities import Canaries
from wardround.demo.patients import StudyInstances, to_dicom
from wardround.demo.phantoms import hospitals
from wardround.dicom.confidentiality_profile import Option, Profile
from wardround.dicom.deidentify import Deidentifier
from wardround.dicom.header_meta import read_file_meta
from wardround.dicom.network_messages import Accepted, RefusedStorage, StoreHeader
from wardround.dicom.pixels_screening import Screener
from wardround.foundation.database import Database
from wardround.foundation.files import ASIDE, ObjectStore
from wardround.foundation.signing import make_signing_key
from wardround.ledger.note import SignatureType, Signer
from wardround.node.cohort.disclosure import Discloser
from wardround.node.cohort.noise import PersonWords
from wardround.node.deidentify.crew import Alone, Crew, Processes, Recipe
from wardround.node.deidentify.intake import Deidentification, Progress
from wardround.node.deidentify.vault import Vault
from wardround.node.deidentify.work import Bench
from wardround.node.enclave.enclave import Enclave
from wardround.node.home import NodeHome
from wardround.node.membership.tables import Membership
from wardround.node.optout.register import Register
from wardround.node.receive.arrival import Arrival
from wardround.node.receive.completion import CompleteStudy, complete_studies
from wardround.node.receive.reception import Answer, Reception
from wardround.node.receive.route import by_called_title
from wardround.node.record.entries import SiteEntries
from wardround.node.record.purges import Purges
from wardround.node.review.gate import Gate

SECRET = bytes(range(32))
QUIET = timedelta(seconds=10)
ROUTES: Mapping[str, str] = {"RESEARCH": "research", "CLINIC": "clinic", "BOTH": "both", "NOWHERE": "refused"}
EVERYONE = CohortQuestion()


@cache
def studies(count: int = 2, *, canaries: bool = False) -> Sequence[StudyInstances]:
    """Small studies of one phantom hospital: 4 slices of 16 x 16 pixels and a reference segmentation each."""
    marks = Canaries() if canaries else None
    hospital = hospitals(2, patients=max(count, 1), slices=4, matrix=16, canaries=marks)[0]
    return [to_dicom(hospital.patient(key)) for key in hospital.keys[:count]]


def edited(part10: bytes, **values: object) -> bytes:
    """The object with other values of its attributes, by keyword."""
    ds = pydicom.dcmread(BytesIO(part10))
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    out = BytesIO()
    ds.save_as(out)
    return out.getvalue()


def purges(clock: Callable[[], datetime]) -> Purges:
    """What keeps a purge for the ledger, at a site without a hub."""
    key = Ed25519PrivateKey.from_private_bytes(SECRET)
    entries = SiteEntries("north", key, "testing/ledger", cast(Any, None), clock=clock)
    return Purges(entries, Discloser(PersonWords(SECRET)))


def joined(path: Path) -> None:
    """Give a home that a test wrote by hand what joining a federation leaves there."""
    home = NodeHome(path)
    home.identity.mkdir(exist_ok=True)
    make_signing_key(home.identity / "ledger.key")
    hub = Signer("testing/ledger", SignatureType.NOTE, Ed25519PrivateKey.from_private_bytes(SECRET))
    home.database.upgrade()
    with home.database.writing() as session:
        session.add(
            Membership(
                id=1,
                site=home.site,
                federation=home.federation,
                joined_at=Clock.time,
                root_fingerprint="0" * 64,
                hub_ledger_verifier=str(hub.verifier),
                certificate_until=Clock.time,
            )
        )
    home.close()


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    time: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_quietly(self) -> None:
        self.time += QUIET


def data_set(part10: bytes) -> bytes:
    """What travels in a C-STORE; each side writes the file meta header anew."""
    return part10[read_file_meta(part10)[1] :]


class FrontDoor:
    """What a node has between its PACS and its cohorts. Making a second one on the same folder is a restart."""

    def __init__(
        self,
        home: Path,
        *,
        url: str | None = None,
        clock: Clock | None = None,
        routes: Mapping[str, str] = ROUTES,
        reserve_bytes: int = 0,
        patience: float = 120,
        workers: int = 0,
        screener: Screener | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.home = home
        self.clock = clock or Clock()
        self.database = Database(url or f"sqlite:///{home / 'node.db'}", migrations="wardround.node.migrations")
        self.database.upgrade()
        self.quarantine, self.clinical = home / "quarantine", home / "clinical"
        self.reception = Reception(
            self.database,
            quarantine=self.quarantine,
            clinical=self.clinical,
            secret=SECRET,
            routes=by_called_title(routes),
            reserve_bytes=reserve_bytes,
            patience=patience,
            clock=self.clock,
        )
        self.vault = Vault(home / "vault", home / "identity" / "vault.key", audit=self.database, clock=self.clock)
        self.objects = ObjectStore(home / "enclave" / "objects")
        self.purges = purges(self.clock)
        self.enclave = Enclave(self.database, self.objects, volumes=home / "enclave" / "volumes")
        used = profile or Profile.research()
        deidentifier = Deidentifier(used, SECRET)
        self.deidentify = deidentifier.deidentify
        self.register = Register(SECRET, self.vault)
        aside, defaces = self.objects.root / ASIDE, Option.CLEAN_VISUAL_FEATURES in used.options
        bench = Bench(self.deidentify, deidentifier.identity, screener, self.quarantine, aside, defaces)
        self.crew: Crew = Alone(bench)
        if workers:
            self.crew = Processes(Recipe(used, SECRET, self.quarantine, aside, screener), workers)
        self.deidentification = Deidentification(
            self.database,
            quarantine=self.quarantine,
            crew=self.crew,
            vault=self.vault,
            objects=self.objects,
            register=self.register,
            gate=Gate(screener or Screener()),
            whole_series=defaces,
            clock=self.clock,
        )

    def give(self, *objects: bytes, called: str = "RESEARCH", sop_uid: str | None = None) -> list[Answer]:
        """What the sender hears for each of these Part 10 files."""
        return [self.reception.receive(Arrival(part10, called, "PACS", sop_uid)) for part10 in objects]

    def stream(self, part10: bytes, called: str = "RESEARCH") -> Answer:
        """What the sender hears of a file's data set that streams in; the index may not have it yet."""
        meta, start = read_file_meta(part10)
        header = StoreHeader(
            called_ae=called,
            calling_ae="PACS",
            sop_class_uid=meta[0x00020002],
            sop_instance_uid=meta[0x00020003],
            transfer_syntax_uid=meta[0x00020010],
            peer="127.0.0.1",
            association=1,
        )
        incoming = self.reception.open(header)
        if isinstance(incoming, RefusedStorage):
            return Answer(incoming.status)
        for piece in range(start, len(part10), 1000):
            incoming.write(memoryview(part10)[piece : piece + 1000])
        answer = incoming.commit()
        return Answer.STORED if isinstance(answer, Accepted) else Answer(answer.status)

    def give_study(self, study: StudyInstances, called: str = "RESEARCH") -> None:
        assert set(self.give(*study.slices, study.segmentation, called=called)) == {Answer.STORED}

    def complete(self) -> list[CompleteStudy]:
        """Let the quiet time pass, once the index has all that came."""
        assert self.reception.settle(60)
        self.clock.pass_quietly()
        return complete_studies(self.database, quiet=QUIET, now=self.clock())

    def tick(self) -> Progress:
        """Let the quiet time pass and de-identify all that is there."""
        self.complete()
        progress = self.deidentification.tick()
        assert progress.left == 0
        return progress

    def quarantined(self) -> list[Path]:
        """The objects in quarantine, without the empty files that wait for one."""
        return [file for file in self.quarantine.rglob("*") if file.is_file() and file.stat().st_size]

    def quarantined_data_sets(self) -> list[bytes]:
        return sorted(data_set(file.read_bytes()) for file in self.quarantined())

    def close(self) -> None:
        self.reception.close()
        self.close_databases()

    def close_databases(self) -> None:
        self.deidentification.stop()
        self.database.close()
        self.vault.close()
