"""What the ledger records: one closed set of entries, and the envelope that carries one with its signature.

An entry names what was done with data, by whom and when, and never a patient, a study or a path: digests, codes,
counts as they may be told, and salted commitments. `origin` is the site that it came from (or `hub`), so kinds that
speak of a site's own doing need no further site.

Bytes are canonical JSON (RFC 8785). There is one form only: bytes that don't come out of their own reading
unchanged (repeated or missing keys, other spacing, numbers that don't round-trip, unknown keys) are refused.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from itertools import pairwise
from secrets import token_hex
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from rfc8785 import CanonicalizationError

from wardround.contracts.approval_limits import ApprovalLimits
from wardround.contracts.base import Digest, Frozen, ProjectId, ReasonCode, RunId, SiteName
from wardround.contracts.disclosure import Count
from wardround.contracts.stage import StageName

HUB = "hub"
LARGEST_ENTRY = 64 * 1024
"""Bytes of a signed entry at most."""


class EntryUnreadable(ValueError):
    """Bytes that aren't an entry in its one form.

    ``code`` is ``too-large``, ``not-an-entry`` or ``not-canonical``.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


def _whole_seconds(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs its offset from UTC")
    return value.astimezone(UTC).replace(microsecond=0)


def _rfc3339(value: datetime) -> str:
    return value.isoformat()[:19] + "Z"


def _key(value: str) -> str:
    raw = b64decode(value, validate=True)
    if len(raw) != 32 or b64encode(raw).decode() != value:
        raise ValueError("an Ed25519 public key is 32 bytes in standard base64")
    return value


def _rising(value: tuple[int, ...]) -> tuple[int, ...]:
    if any(second <= first for first, second in pairwise(value)):
        raise ValueError("indices must rise, each named once")
    return value


Instant = Annotated[datetime, AfterValidator(_whole_seconds), PlainSerializer(_rfc3339, return_type=str)]
"""A moment in UTC, to the second below; written as RFC 3339 with ``Z``."""

Index = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Place of an entry in the ledger, from 0."""

PublicKey = Annotated[str, AfterValidator(_key)]
"""A raw Ed25519 public key (RFC 8032) in standard base64."""

VerifierKey = Annotated[str, StringConstraints(max_length=400, pattern=r"^[^\s+]+\+[0-9a-f]{8}\+\S+$")]
"""A C2SP verifier key (``name+hash+base64``)."""

Pathway = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Metric = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Seen(Frozen):
    """The largest tree of the ledger that an entry's origin had checked when it signed: its size and root."""

    size: int = Field(ge=1, le=2**53 - 1)
    root: Digest


class _Entry(Frozen):
    """What all kinds have. ``seen`` makes every entry tell all readers which ledger its origin was shown: a hub that
    shows two ledgers has to keep a site's entries from those to whom it shows the other. It is left out where the
    origin had checked none."""

    origin: SiteName
    at: Instant
    nonce: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] = Field(default_factory=lambda: token_hex(16))
    seen: Seen | None = Field(default=None, exclude_if=lambda value: value is None)


class Founding(_Entry):
    """The hub founds the federation's ledger, as its first entry or not at all. ``faults`` is how many witnesses may
    cosign two trees without harm: a quorum of n is more than (n + faults) / 2. Without this entry it is 0."""

    kind: Literal["founding"] = "founding"
    faults: int = Field(ge=0, le=1000)


class Member(_Entry):
    """The hub announces a site. A later announcement of the same site replaces its keys from there on.

    ``entry_key`` checks the site's entries; ``witness`` is its cosignature key, named as the site is.
    """

    kind: Literal["member"] = "member"
    site: SiteName
    entry_key: PublicKey
    witness: VerifierKey


class Departure(_Entry):
    """The hub takes a site out, which ``left`` or was ``revoked``: from here on it records and witnesses nothing. The
    first tree that holds this is settled by a quorum of those who were members before it, the site among them."""

    kind: Literal["departure"] = "departure"
    site: SiteName
    reason: Literal["left", "revoked"]


class Approval(_Entry):
    """A site's data controller says yes to a project, as the digest has it, until the given moment and within the
    limits, which are left out where there are none."""

    kind: Literal["approval"] = "approval"
    project: ProjectId
    project_digest: Digest
    until: Instant | None = None
    limits: ApprovalLimits | None = Field(default=None, exclude_if=lambda value: value is None)


class Refusal(_Entry):
    kind: Literal["refusal"] = "refusal"
    project: ProjectId
    project_digest: Digest
    reason: ReasonCode


class Withdrawal(_Entry):
    """The site takes back the approval at index ``approval``."""

    kind: Literal["withdrawal"] = "withdrawal"
    project: ProjectId
    approval: Index
    reason: ReasonCode


class Manifest(_Entry):
    """A cohort frozen under the approval at index ``approval``: its size as it may be told, and the root of
    salted commitments to its studies (`wardround.ledger.commitment`)."""

    kind: Literal["manifest"] = "manifest"
    project: ProjectId
    approval: Index
    people: Count
    commitment: Digest


def alone_run(run: str) -> str:
    """The name under which the ledger keeps what a site trains alone, beside the run."""
    return f"{run[:34]}-alone"


class Use(_Entry):
    """The site begins to read the studies of the manifest at index ``manifest`` for a run. It is on the ledger before
    the first of them is read.

    ``purpose`` is the ``training`` of one ``round``, the ``preparation`` of the cohort before the first one, or the
    ``judging`` of the ``model`` with that digest; each names what its purpose needs and nothing else. A site that
    trains alone, for comparison, does so in the first round of a run of its own (:func:`alone_run`).
    """

    kind: Literal["use"] = "use"
    run: RunId
    purpose: Literal["training", "preparation", "judging"]
    round: int | None = Field(default=None, ge=1, le=1_000_000)
    model: Digest | None = None
    manifest: Index

    @model_validator(mode="after")
    def _names_what_its_purpose_needs(self) -> Use:
        if (self.round is not None) != (self.purpose == "training"):
            raise ValueError("a use names a round where its purpose is training, and nowhere else")
        if (self.model is not None) != (self.purpose == "judging"):
            raise ValueError("a use names a model where its purpose is judging, and nowhere else")
        return self


class Update(_Entry):
    """One site's contribution to one round, made from the manifest at index ``manifest`` by the training that the
    entry at index ``use`` tells of. Entries made before uses were recorded name none."""

    kind: Literal["update"] = "update"
    run: RunId
    round: int = Field(ge=1, le=1_000_000)
    digest: Digest
    manifest: Index
    use: Index | None = Field(default=None, exclude_if=lambda value: value is None)
    steps: int = Field(ge=0, le=2**53 - 1)


class Aggregate(_Entry):
    """What the hub made of the updates at the given indices."""

    kind: Literal["aggregate"] = "aggregate"
    run: RunId
    round: int = Field(ge=1, le=1_000_000)
    digest: Digest
    updates: Annotated[tuple[Index, ...], Field(min_length=1, max_length=4096), AfterValidator(_rising)]


class Model(_Entry):
    """A model registered from a run's best round, with its metrics at each site."""

    kind: Literal["model"] = "model"
    digest: Digest
    run: RunId
    best_round: int = Field(ge=1, le=1_000_000)
    metrics: dict[SiteName, dict[Metric, Number]]


class Evidence(_Entry):
    """A record of how a model did at the site that signs this, by the record's digest. Where it was judged on a frozen
    cohort, ``use`` is the index of the entry that tells of it."""

    kind: Literal["evidence"] = "evidence"
    model: Digest
    pathway: Pathway
    stage: StageName
    record: Digest
    use: Index | None = Field(default=None, exclude_if=lambda value: value is None)


class Deployment(_Entry):
    """The site that signs this uses a model on a pathway at a stage, from here on."""

    kind: Literal["deployment"] = "deployment"
    model: Digest
    pathway: Pathway
    stage: StageName


class Promotion(_Entry):
    """People of the site open a stage for a model on a pathway, on the evidence at the indices given. ``weights`` is
    the digest by which it was judged before it was a package, where evidence names that."""

    kind: Literal["promotion"] = "promotion"
    model: Digest
    weights: Digest | None = Field(default=None, exclude_if=lambda value: value is None)
    pathway: Pathway
    stage: StageName
    evidence: Annotated[tuple[Index, ...], Field(max_length=1024), AfterValidator(_rising)]


class Suspension(_Entry):
    """The site takes a model out of use on a pathway: until a person looks (``suspended``) or for good
    (``withdrawn``)."""

    kind: Literal["suspension"] = "suspension"
    model: Digest
    pathway: Pathway
    stage: Literal["suspended", "withdrawn"]
    reason: ReasonCode


class Reidentification(_Entry):
    """The site looked up who somebody is. ``record`` is the digest of its own record of it, salted, which stays."""

    kind: Literal["re-identification"] = "re-identification"
    reason: ReasonCode
    people: Count
    record: Digest


class Purge(_Entry):
    """The site destroyed studies of that many people, with their salts, and so took them out of the manifests at the
    indices given; of none, where they were in no frozen cohort. Or all their health records, where it had no study."""

    kind: Literal["purge"] = "purge"
    reason: ReasonCode
    people: Count
    manifests: Annotated[tuple[Index, ...], Field(max_length=4096), AfterValidator(_rising)]


Entry = Annotated[
    Founding
    | Member
    | Departure
    | Approval
    | Refusal
    | Withdrawal
    | Manifest
    | Use
    | Update
    | Aggregate
    | Model
    | Evidence
    | Deployment
    | Promotion
    | Suspension
    | Reidentification
    | Purge,
    Field(discriminator="kind"),
]


class SignedEntry(Frozen):
    """An entry with its origin's Ed25519 signature (64 bytes, standard base64).

    ``key`` names the signing key: the first 8 bytes of the SHA-256 of its 32 raw bytes, in hexadecimal.
    """

    entry: Entry
    key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    signature: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{85}[AQgw]==$")]

    def canonical(self) -> bytes:
        """The envelope as canonical JSON (RFC 8785).

        The numbers of most kinds are bounded integers and their keys ASCII; for such documents the standard
        library's encoder writes what RFC 8785 asks for, at a fraction of the time.
        """
        if isinstance(self.entry, _OF_OTHER_NUMBERS):
            return super().canonical()
        return _write(self.model_dump(mode="json")).encode()


_OF_OTHER_NUMBERS = Approval, Model, Manifest, Reidentification, Purge
_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
_BEFORE = len('{"entry":')
_AFTER = len(',"key":"","signature":""}') + 16 + 88


def entry_bytes(data: bytes) -> bytes:
    """The canonical bytes of the entry within the bytes of a signed entry, which must be in their one form."""
    return data[_BEFORE:-_AFTER]


_SIGNED: TypeAdapter[SignedEntry] = TypeAdapter(SignedEntry)


def read_signed_entry(data: bytes) -> SignedEntry:
    """Read the bytes of a signed entry; the signature isn't checked here.

    Raises:
        EntryUnreadable: they are over 64 KiB, no known entry, or not in their one form.
    """
    if len(data) > LARGEST_ENTRY:
        raise EntryUnreadable(f"the entry is {len(data)} bytes; {LARGEST_ENTRY} is the limit", code="too-large")
    try:
        signed = _SIGNED.validate_json(data)
        again = signed.canonical()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise EntryUnreadable(f"not a ledger entry: {where}: {first['msg']}", code="not-an-entry") from error
    except (CanonicalizationError, UnicodeEncodeError) as error:
        raise EntryUnreadable("the entry has no canonical form", code="not-canonical") from error
    if again != data:
        raise EntryUnreadable(
            "the entry isn't in its one form; write it as canonical JSON (RFC 8785) with every key",
            code="not-canonical",
        )
    return signed
