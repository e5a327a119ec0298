"""Taking a registered model into use at this hospital."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.compute.jail import check_jail
from wardround.contracts.ledger_entry import Deployment as DeploymentEntry
from wardround.contracts.ledger_entry import Model
from wardround.contracts.outbound import ObjectRequest
from wardround.contracts.stage import StageName
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.foundation.files import write_whole
from wardround.learning.archive import unpack
from wardround.learning.bundle import bundle_digest, files_of, load_bundle, read_bundle
from wardround.learning.lineage import lineage_of
from wardround.learning.packages import Packages
from wardround.ledger import store
from wardround.ledger.mirror import Mirror
from wardround.node import audit
from wardround.node.clinic.definition import OUTLINES, Definition
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.own_layers import check_own_layers, own_layers
from wardround.node.clinic.tables import Deployment
from wardround.node.evidence.ladder import Model as EvidencedModel
from wardround.node.evidence.ladder import check_evidence
from wardround.node.gateway.gateway import Gateway
from wardround.node.policy.code import brings_program, check_program
from wardround.node.policy.rules import Policy
from wardround.node.record.entries import SiteEntries
from wardround.node.training.own import OwnArrays, SealedArrays

STAGE: StageName = "shadow"
"""Where a model's use here begins."""


def check_names(definition: Definition, pathway: str, digest: str) -> None:
    """Whether a pathway's file names the model.

    Raises:
        NotAllowed: `no-model`, it names none; `other-model`.
    """
    if not definition.model:
        raise NotAllowed(
            f"pathway {pathway} names no model and refuses to start without one: write its digest into the file, "
            f'model = "{digest[:12]}"',
            code="no-model",
        )
    if not definition.names_model(digest):
        raise NotAllowed(
            f"pathway {pathway} names model {definition.model[:12]}, not {digest[:12]}; change its file first",
            code="other-model",
        )


class Deployments:
    """Fetches models, keeps them under `models` by digest, and says which is in use."""

    def __init__(
        self,
        database: Database,
        models: Path,
        entries: SiteEntries,
        gateway: Gateway,
        mirror: Mirror,
        own: OwnArrays,
        packages: Packages,
        definitions: Definitions,
        clock: Clock,
        policy: Callable[[], Policy],
    ) -> None:
        self._own = own
        self._packages = packages
        self.definitions = definitions
        self._database = database
        self._models = models
        self.entries = entries
        self._gateway = gateway
        self._mirror = mirror
        self._clock = clock
        self._policy = policy

    def package(self, digest: str) -> Path:
        """Where a fetched model package lies."""
        return self._models / digest

    def own_layers(self, digest: str) -> SealedArrays | None:
        """What is laid over a fetched package here. Raises as `wardround.node.clinic.own_layers.own_layers`."""
        return own_layers(self.package(digest), self._own)

    def check_code(self, digest: str) -> None:
        """Whether a fetched model may run here, as far as the code goes that it brings.

        Raises:
            PolicyForbids: `own-code-not-allowed`, it is a program that the policy doesn't name.
            PolicyUnusable: it is a program, and there is no policy that could be asked.
            BundleRefused: the package is damaged.
        """
        if _is_program(self.package(digest)):
            check_program(self._policy(), digest)

    def model(self, row: Deployment) -> EvidencedModel:
        """What evidence of a deployed model goes by."""
        return self.evidenced(row.model, row.pathway)

    def evidenced(self, digest: str, pathway: str) -> EvidencedModel:
        """What evidence of a fetched model goes by, on a pathway. A model that this hospital brought itself goes by its
        own digest alone: what such a package says of its weights is nobody's word."""
        if self._is_own(digest):
            return EvidencedModel(digest, digest, pathway)
        lineage = lineage_of(self.package(digest))
        return EvidencedModel(digest, digest if lineage is None else lineage.weights_sha256, pathway)

    def fetch(self, digest: str) -> Path:
        """A model's package: of a registered model from the hub, where it isn't here yet, and of one that this hospital
        brought itself from its own packages.

        Raises:
            NotAllowed: this hospital's own copy of the ledger doesn't know the model, and it wasn't added here; or the
                ledger can't be trusted now.
            NotFound: the hub doesn't have its package, or it is another than its digest says.
            BundleRefused: the package that was added was changed since, or holds no weights.
        """
        target, own = self.package(digest), self._is_own(digest)
        if not own:
            self._check_registered(digest)
        if not target.exists():
            self._copy(digest, target) if own else self._fetch(digest, target)
        return target

    def deploy(self, digest: str, pathway: str, *, actor: str) -> int:
        """Take a model into shadow use on a pathway; another model on it goes out of use. Returns its number. The
        ledger's entry waits in the same transaction for the hub.

        Raises:
            NotAllowed: the pathway's file names no model, or another one; this hospital's own copy of the ledger
                doesn't know the model, or can't be trusted now; layers of the model are each hospital's own, and there
                are none here; it doesn't give what the pathway is of; it is a program that the policy doesn't name.
            SettingsRefused: the pathway's file can't be used.
            NotYet: this hospital has no evidence, or none that is current, of how good it is here.
            NotFound: there is no such pathway here; the hub doesn't have its package, or it is another than its digest
                says.
            BundleRefused: it is no model package that may be run here.
            JailUnavailable: it is a program, and this machine can't make a jail.
        """
        definition = self.definitions.of(pathway)
        check_names(definition, pathway, digest)
        target = self.fetch(digest)
        bundle = read_bundle(target)
        gives = "outline" if bundle.target is None else bundle.target.kind
        wanted = "outline" if definition.output.kind in OUTLINES else definition.output.kind
        if gives != wanted or bundle.reads == "records":
            raise NotAllowed(
                f"{bundle.name} gives {gives} from {bundle.reads}, and pathway {pathway} is of {wanted} from images",
                code="other-output",
            )
        if bundle.own_code:
            raise NotAllowed(
                f"{bundle.name} brings Python of its own, which reads no patient's study yet", code="own-code"
            )
        self.check_code(digest)
        if brings_program(bundle):
            check_jail()
        check_own_layers(target, self._own)
        at = self._clock()
        with self._database.reading() as session:
            check_evidence(session, self.evidenced(digest, pathway), STAGE, at)
        entry = DeploymentEntry(origin=self.entries.site, at=at, model=digest, pathway=pathway, stage=STAGE)
        with self._database.writing() as session:
            for other in active(session):
                if other.pathway == pathway:
                    other.active = False
            row = Deployment(
                model=digest,
                package=bundle.name,
                pathway=pathway,
                stage=STAGE,
                active=True,
                deployed_by=actor,
                deployed_at=at,
            )
            session.add(row)
            self.entries.later(session, entry)
            audit.record(session, actor, "deploy-model", digest, f"{pathway} {STAGE}")
            return row.id

    def _check_registered(self, digest: str) -> None:
        self._mirror.check_trusted(self._clock())
        if not self._is_registered(digest):
            raise NotAllowed(
                f"the ledger, as this hospital has it, knows no model {digest[:12]}…; check the digest with "
                "`wardround model list` at the hub, and the mirror with `wardround ledger verify`; a model of this "
                "hospital's own is added with `wardround package add`"
            )

    def _is_registered(self, digest: str) -> bool:
        verified = self._mirror.state().verified
        with self._database.reading() as session:
            for index in range(verified - 1, -1, -1):
                entry = store.entry(session, index)
                if isinstance(entry, Model) and entry.digest == digest:
                    return True
        return False

    def _is_own(self, digest: str) -> bool:
        """Whether this hospital brought the model itself."""
        return digest in self._packages.listed() and not self._is_registered(digest)

    def _copy(self, digest: str, target: Path) -> None:
        source = self._packages.find(self._packages.listed()[digest], digest)
        load_bundle(source)
        aside = self._models / f".{digest}"
        shutil.rmtree(aside, ignore_errors=True)
        for path in files_of(source):
            write_whole(aside / path, (source / path).read_bytes(), mode=0o600)
        if bundle_digest(aside) != digest:
            shutil.rmtree(aside)
            raise NotFound(f"the package {digest[:12]} changed while it was copied; add it anew")
        aside.rename(target)

    def _fetch(self, digest: str, target: Path) -> None:
        _, data = self._gateway.send(ObjectRequest(digest=digest))
        aside = self._models / f".{digest}"
        shutil.rmtree(aside, ignore_errors=True)
        unpack(data, aside)
        if bundle_digest(aside) != digest:
            shutil.rmtree(aside)
            raise NotFound("the hub sent another model package than the one that was asked for")
        aside.rename(target)


@lru_cache(maxsize=256)
def _is_program(package: Path) -> bool:
    """A package lies under its own digest, so that it is never another one."""
    return brings_program(read_bundle(package))


def active(session: Session) -> list[Deployment]:
    """The models in use, oldest first."""
    statement = select(Deployment).where(Deployment.active).order_by(Deployment.id)
    return list(session.scalars(statement))
