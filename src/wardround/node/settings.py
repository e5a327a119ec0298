"""`node.toml`: what a hospital's informatics engineer sets. Joining writes the first version."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, IPvAnyNetwork, ValidationInfo, field_validator, model_validator

from wardround.contracts.base import SiteName
from wardround.contracts.disclosure import SMALLEST_TOLD
from wardround.contracts.limits import LARGEST_ANSWER
from wardround.foundation.settings import Settings
from wardround.node.report.settings import ReportSettings
from wardround.node.retrieve.hours import Hours
from wardround.people.settings import PeopleSettings
from wardround.ui.settings import PagesSettings


class HubAddress(Settings):
    """Where this node reaches its hub."""

    host: str = Field(min_length=1, max_length=253)
    api_port: int = Field(ge=1, le=65535)


AE_TITLE = r"^[!-\[\]-~][ -\[\]-~]{0,15}$"
"""1 to 16 characters, no backslash (PS3.5 Table 6.2-1, VR AE)."""


class DicomPeer(Settings):
    """An application entity that this node may call back: where answers about storage commitment go. `tls`: in TLS,
    with the files under `[wire]`.
    """

    ae_title: str = Field(pattern=AE_TITLE)
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    tls: bool = False


class DicomSettings(Settings):
    """The Storage SCP that the PACS sends to, on one port under two titles.

    What is sent to `ae_title` takes the research path, what is sent to `clinic_ae_title` the clinical one, unless
    `routes.toml` says otherwise. A study is complete when nothing of it came for `quiet_seconds`.

    durable: an object is acknowledged only once it is flushed to the disk; off, a power failure may lose some.
    reserve_mb: free space of the disk, in MB, below which nothing more is taken.
    patience_seconds: how long the index may stay behind what was received before nothing more is taken.
    receivers: processes that receive, behind one port; 1 is the node's own, 0 one for each core, four at most.
    commit: answer storage commitment. A node is no archive: leave it off where anything deletes after a commitment.
    peers: where those listen that ask for it.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=1, le=65535)
    ae_title: str = Field(default="WARDROUND", pattern=AE_TITLE)
    clinic_ae_title: str = Field(default="WARDCLINIC", pattern=AE_TITLE)
    quiet_seconds: float = Field(default=60, gt=0, le=86_400)
    durable: bool = True
    reserve_mb: int = Field(default=256, ge=0)
    patience_seconds: float = Field(default=10, gt=0, le=3600)
    receivers: int = Field(default=0, ge=0, le=16)
    commit: bool = False
    peers: tuple[DicomPeer, ...] = ()

    @model_validator(mode="after")
    def _can_commit(self) -> Self:
        if self.commit and not self.durable:
            raise ValueError("commit = true promises what durable = false doesn't keep; leave one of the two out")
        if len({peer.ae_title for peer in self.peers}) < len(self.peers):
            raise ValueError("two peers have the same ae_title; keep one")
        return self


class DicomTls(Settings):
    """The three files (PEM) of DICOM TLS: all of them, or none."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_trusted: Path | None = None

    @model_validator(mode="after")
    def _has_all_of_tls(self) -> Self:
        if len({self.tls_certificate is None, self.tls_key is None, self.tls_trusted is None}) > 1:
            raise ValueError("TLS needs all of tls_certificate, tls_key and tls_trusted")
        return self


class WireSettings(DicomTls):
    """Who may send to the Storage SCP, what it takes beside the standard's storage classes, and for how long it waits.

    senders: calling AE titles that are let in; empty lets in anyone. extra_sop_classes: private ones to take too.
    accept_unknown: take any SOP class that the standard doesn't name. The times are those of
    `wardround.dicom.network.Limits`. tls_certificate, tls_key, tls_trusted (PEM): speak TLS only; with tls_required,
    a sender has to show a certificate that one in tls_trusted signed.
    """

    senders: tuple[Annotated[str, Field(pattern=AE_TITLE)], ...] = ()
    associations: int = Field(default=64, ge=1, le=1024)
    extra_sop_classes: tuple[Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=64)], ...] = ()
    accept_unknown: bool = False
    artim_seconds: float = Field(default=30, gt=0, le=3600)
    stall_seconds: float = Field(default=60, gt=0, le=3600)
    idle_seconds: float = Field(default=300, gt=0, le=86_400)
    tls_required: bool = True


class PacsSettings(Settings):
    """Where results on the clinical path are sent by C-STORE.

    ask_count: ask it by C-FIND how many instances a study has, so that a study is complete once they are here.
    examiners_title: a title of it where nobody looks who treats the patient; there go results of models in shadow use,
    which stay at the node without it.
    """

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(ge=1, le=65535)
    ae_title: str = Field(pattern=AE_TITLE)
    ask_count: bool = False
    examiners_title: str = Field(default="", pattern=rf"{AE_TITLE}|^$")

    @field_validator("examiners_title")
    @classmethod
    def _apart(cls, title: str, info: ValidationInfo) -> str:
        if title and title == info.data.get("ae_title"):
            raise ValueError("it is ae_title, where the ward looks; name another title, or none")
        return title


class ClinicSettings(Settings):
    """keep_days: how long a study on the clinical path is kept after its last image came, results included.
    usual_failures: the share of studies of which a model in use may usually give nothing; about three times as much
    takes it out of use. alarm_every: after how many studies a model is taken out of use for nothing, on average.
    """

    keep_days: float = Field(default=14, gt=0, le=3650)
    usual_failures: float = Field(default=0.05, ge=0.001, le=0.5)
    alarm_every: float = Field(default=100_000, ge=100, le=1_000_000)


class DeidentificationSettings(Settings):
    """The processes that de-identify what arrives for research.

    workers: how many; 0 means half of the processor cores, at least one. seconds_per_object: after how long an object
    is given up, and refused. home_issuer: the issuer of the hospital's own patient ids, which objects that name no
    issuer mean. profile: one of those shipped, or a TOML file, in the home if its path isn't absolute. device_rules:
    a TOML file of where the hospital's own devices print text, in the home likewise.
    """

    profile: str = Field(default="research", min_length=1)
    workers: int = Field(default=0, ge=0, le=256)
    seconds_per_object: float = Field(default=120, gt=0, le=86_400)
    home_issuer: str = Field(default="", max_length=64)
    device_rules: str = ""


class RetrieveSettings(DicomTls):
    """How studies are pulled from the PACS (`wardround node pull`).

    `pacs` is whom to ask; without it, the `[pacs]` that results go to. `method`: `move` has the PACS send to this
    node's own titles, `get` on the connection of the request. `root`: the query model, for a PACS that misleads
    `any`. `hours`: when, as `20:00-06:00`, several with commas,
    empty for any time, in `time_zone` (IANA name; empty for this machine's). `attempts` of a study, the second after
    `backoff_seconds`, doubled each time. `wait_minutes`: for instances that the PACS says it sent. The three `tls_`
    files (PEM) make it DICOM TLS.
    """

    pacs: PacsSettings | None = None
    method: Literal["move", "get"] = "move"
    root: Literal["any", "study", "patient"] = "any"
    hours: str = ""
    time_zone: str = ""
    studies_per_hour: float = Field(default=60, gt=0, le=100_000)
    concurrent: int = Field(default=1, ge=1, le=16)
    attempts: int = Field(default=5, ge=1, le=100)
    backoff_seconds: float = Field(default=60, gt=0, le=86_400)
    wait_minutes: float = Field(default=10, gt=0, le=10_080)

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        Hours.parse(self.hours, self.time_zone)
        return self


def check_web(host: str, certificate: Path | None, key: Path | None, origins: tuple[str, ...]) -> None:
    """Whether a web server may listen so: plainly on loopback alone. Raises `ValueError` with the reason."""
    if (certificate is None) != (key is None):
        raise ValueError("HTTPS needs both certificate and key")
    if certificate is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError("without certificate and key it can listen on 127.0.0.1 alone")
    for origin in origins:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin):
            raise ValueError(f"{origin!r} is no origin; write scheme, host and port as in https://viewer.example:3000")


class DicomwebSettings(Settings):
    """The DICOMweb server, for viewers at this hospital. Every call needs a token (`wardround node dicomweb token`).

    `origins`: web origins, exactly as a browser says them, whose pages may call it (CORS). `certificate` and `key`
    (PEM) make it HTTPS, without which it listens on loopback alone. `largest_mb`: of one object that is stored.
    `worklist`: serve the readings of the clinic as workitems too (UPS-RS), which name patients.
    """

    enabled: bool = False
    worklist: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8043, ge=0, le=65535)
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    largest_mb: int = Field(default=1024, ge=1, le=16_384)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        check_web(self.host, self.certificate, self.key, self.origins)
        return self


class QueryCaller(Settings):
    """An application entity that may query and retrieve. `host` and `port`: where it listens, so that C-MOVE can send
    there; `tls`: in TLS, with the files under `[query]`.
    """

    ae_title: str = Field(pattern=AE_TITLE)
    host: str | None = Field(default=None, min_length=1, max_length=253)
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: bool = False

    @model_validator(mode="after")
    def _listens_somewhere(self) -> Self:
        if (self.host is None) != (self.port is None):
            raise ValueError("a destination needs both host and port; a caller that only queries needs neither")
        return self


class QuerySettings(DicomTls):
    """The Query/Retrieve SCP (C-FIND, C-MOVE, C-GET) over the enclave, for viewers at this hospital that don't speak
    DICOMweb. Nobody is let in but `callers`; with the TLS files, a caller has to show a certificate too, without which
    it listens on loopback alone.
    """

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=11114, ge=0, le=65535)
    ae_title: str = Field(default="WARDQUERY", pattern=AE_TITLE)
    callers: tuple[QueryCaller, ...] = ()

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.tls_certificate is None and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("without tls_certificate, tls_key and tls_trusted it can listen on 127.0.0.1 alone")
        if self.enabled and not self.callers:
            raise ValueError("nobody could ask; name one under [[query.callers]], or leave enabled out")
        if len({caller.ae_title.strip() for caller in self.callers}) < len(self.callers):
            raise ValueError("two callers have the same ae_title; keep one")
        return self


class AnnotationSettings(Settings):
    """The server that annotation clients (3D Slicer, OHIF, Python) call, at `/monailabel`. Every call needs a person's
    sign-in. `certificate` and `key` (PEM) make it HTTPS, without which it listens on loopback alone; `origins` as under
    `[dicomweb]`.

    label: what is drawn, as clients show it. readers: how many people are to draw each case. hold_minutes: how long a
    case that somebody was given is offered to nobody else. modalities: of which images are offered; empty for all.
    project: offer the frozen cohort of this project alone. threads: processor cores that helping and training take
    each. largest_mb: of a file that a client sends. guest_hours: how long a file that was sent to be looked at is kept.
    """

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8044, ge=0, le=65535)
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    label: str = Field(default="glioma", pattern=r"^[a-z][a-z0-9 _-]{0,39}$")
    readers: int = Field(default=1, ge=1, le=20)
    hold_minutes: float = Field(default=120, gt=0, le=10_080)
    modalities: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ("CT", "MR", "PT")
    project: str = Field(default="", max_length=64)
    threads: int = Field(default=2, ge=1, le=256)
    largest_mb: int = Field(default=512, ge=1, le=4096)
    guest_hours: float = Field(default=12, gt=0, le=168)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        check_web(self.host, self.certificate, self.key, self.origins)
        return self


class LearningSettings(Settings):
    """`threads`: how many processor cores training and reading take each. `checkpoint_seconds`: so much work of a round
    is lost at most when this node is killed in it."""

    threads: int = Field(default=1, ge=1, le=256)
    checkpoint_seconds: float = Field(default=30, ge=1, le=3600)


class EnclaveSettings(Settings):
    """How much the enclave may hold. At `quota_gb` (none: no limit), or when less than `reserve_gb` are free on its
    disk, nothing more is taken in for research; from `warn_at` of the quota on there is an alarm. `volumes_gb` bounds
    the volumes kept for learning. Gigabytes are 10^9 bytes.
    """

    quota_gb: float | None = Field(default=None, gt=0, le=10_000_000)
    warn_at: float = Field(default=0.85, gt=0, le=1)
    reserve_gb: float = Field(default=2, ge=0, le=1_000_000)
    volumes_gb: float = Field(default=100, gt=0, le=1_000_000)


class CohortSettings(Settings):
    """What researchers may ask of this hospital, and how much is told.

    smallest_told: the least number of people of which anything is told. A question costs one, and one more for each
    breakdown; asking again costs nothing while the answer is the same. questions_per_day (of 24 hours) and
    questions_in_total are for one person in one project, all_per_day for everybody together. without_project: answer
    questions that belong to no project too.
    """

    smallest_told: int = Field(default=SMALLEST_TOLD, ge=SMALLEST_TOLD, le=100_000)
    questions_per_day: int = Field(default=60, ge=0, le=1_000_000)
    questions_in_total: int = Field(default=300, ge=0, le=1_000_000)
    all_per_day: int = Field(default=1000, ge=0, le=1_000_000)
    without_project: bool = True


class MllpSettings(DicomTls):
    """HL7 v2 messages (ADT, ORU) over MLLP, straight into the health records.

    senders: addresses or networks (`10.1.2.0/24`) that are let in; empty lets in anyone who reaches `host`. mapping: a
    file, in the home if its path isn't absolute, that says which number of a patient counts. With the three `tls_`
    files (PEM) it speaks TLS only, and a sender has to show a certificate. largest_kb: of one message. message_seconds:
    how long one may take to come.
    """

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=2575, ge=0, le=65535)
    senders: tuple[IPvAnyNetwork, ...] = ()
    mapping: str = ""
    largest_kb: int = Field(default=1024, ge=1, le=4096)
    connections: int = Field(default=16, ge=1, le=256)
    idle_seconds: float = Field(default=600, gt=0, le=86_400)
    message_seconds: float = Field(default=60, gt=0, le=3600)

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        open_to_all = not self.senders and self.tls_certificate is None
        if open_to_all and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("without senders or the tls_ files it can listen on 127.0.0.1 alone")
        return self


class RecordsSettings(Settings):
    """Health records in OMOP CDM. `database` is an SQLAlchemy URL of PostgreSQL; empty means DuckDB in the home, which
    takes at most `memory_mb`, three eighths of it for a question, and `threads` processor cores.
    """

    database: str = Field(default="", pattern=r"^(postgresql(\+psycopg)?://.*)?$")
    memory_mb: int = Field(default=256, ge=64, le=1_000_000)
    threads: int = Field(default=1, ge=1, le=256)
    mllp: MllpSettings = MllpSettings()


class NodeSettings(Settings):
    """`database` is an SQLAlchemy URL; empty means `node.db` in the home."""

    site: SiteName
    federation: SiteName
    database: str = ""
    largest_attachment: int = Field(default=LARGEST_ANSWER, ge=0)
    hub: HubAddress
    dicom: DicomSettings = DicomSettings()
    wire: WireSettings = WireSettings()
    pacs: PacsSettings | None = None
    clinic: ClinicSettings = ClinicSettings()
    report: ReportSettings = ReportSettings()
    deidentification: DeidentificationSettings = DeidentificationSettings()
    retrieve: RetrieveSettings = RetrieveSettings()
    dicomweb: DicomwebSettings = DicomwebSettings()
    annotation: AnnotationSettings = AnnotationSettings()
    query: QuerySettings = QuerySettings()
    learning: LearningSettings = LearningSettings()
    enclave: EnclaveSettings = EnclaveSettings()
    cohort: CohortSettings = CohortSettings()
    people: PeopleSettings = PeopleSettings()
    pages: PagesSettings = PagesSettings()
    records: RecordsSettings = RecordsSettings()
