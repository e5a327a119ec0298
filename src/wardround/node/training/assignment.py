"""From an approved project to what the learning process is given. Nothing reaches it by another way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from wardround.compute.jail import Bounds, JailUnavailable, check_jail
from wardround.contracts.approval_limits import Terms
from wardround.contracts.disclosure import SMALLEST_TOLD, told_size
from wardround.contracts.project import LeavingKind
from wardround.contracts.run_plan import RunPlan
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, Unreachable
from wardround.learning.bundle import BundleRefused, packaged, read_bundle
from wardround.learning.packages import Packages
from wardround.ledger.mirror import Mirror
from wardround.node.policy.approved import under
from wardround.node.policy.rules import Policy
from wardround.node.policy.verdict import check_hours, check_people, check_runs_at_once
from wardround.node.projects import allowance, queries
from wardround.node.projects.actions import told_people
from wardround.node.projects.served import Served, served_cases
from wardround.node.projects.standing import Standing, check_may_run, check_may_work
from wardround.node.training.cohort import Cohort, EnclavePlace
from wardround.node.training.facts import RecordsPlace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """What to learn from and how: the frozen cohort and the plan, as this site's data controller approved them.

    Of the cohort those are left out who opted out since, and what was purged.

    `terms` are what this site approved of the plan. `manifest` is the cohort's place in the ledger, which each use of
    it names, and `weight` the size of it that is told there, which is what it weighs in an average. `package` is where
    the model package is; None for the one of that name which is part of this installation. `jail` bounds the code that
    it brings of its own, if it does.
    """

    site: str
    cohort: Cohort
    plan: RunPlan
    manifest: int
    terms: Terms
    threads: int = 1
    weight: int = SMALLEST_TOLD
    package: Path | None = None
    jail: Bounds = field(default_factory=Bounds)

    @property
    def folder(self) -> Path:
        """Where the approved model package is."""
        return packaged(self.plan.package) if self.package is None else self.package


class ManifestNotSettled(Unreachable):
    """A quorum of sites hasn't cosigned the manifest yet, as far as this site knows; trying again soon may work."""

    code = "manifest-not-settled"


class Assignments:
    """Hands out work, each time anew under the one rule of `standing.check_may_work`.

    Args:
        packages: those that are here.
        records: where this site's health records are, if it has any.
        keys: the site's, from which each project's own pseudonyms are made.
        policy: what this hospital allows at the moment; raises `PolicyUnusable` where that can't be known.
    """

    def __init__(
        self,
        site: str,
        database: Database,
        place: EnclavePlace,
        mirror: Mirror,
        keys: PseudonymKeys,
        clock: Clock,
        policy: Callable[[], Policy],
        *,
        threads: int,
        packages: Packages,
        records: RecordsPlace | None = None,
    ) -> None:
        self._site = site
        self._database = database
        self._place = place
        self._mirror = mirror
        self._keys = keys
        self._told: dict[str, Served] = {}
        self._clock = clock
        self._policy = policy
        self._threads = threads
        self._packages = packages
        self._records = records

    def check(self, project: str, digest: str, run: str, *, to_work: bool = True) -> Assignment:
        """What that run may learn from, for that edition of a project.

        Args:
            to_work: now; without it, to be ready for work, at whatever hour.

        Raises:
            NotAllowed: `not-approved`, `withdrawn`, `expired`, `no-manifest`, `runs-used-up`; `not-learnable`, too few
                people are left; `no-package`, `package-differs`, the model package that was approved isn't here, or is
                another one; `wrong-plan`, the plan says of it what isn't so; `ledger-untrusted`, the hub's ledger
                contradicts itself or lacks a quorum for too long (`wardround.ledger.trust`).
            ManifestNotSettled: the hub could still take the manifest back unseen.
        """
        self._mirror.check_trusted(self._clock())
        with self._database.reading() as session:
            found = self._may_work(session, project, digest)
            check_may_run(session, found, run)
            plan = found.project.plan
            cases, served = served_cases(session, project, self._keys)
        self._tell(project, served)
        policy = self._policy()
        try:
            check_people(policy, len({case.name for case in cases}))
        except NotAllowed as few:
            _log.warning("project %s: %s", project, few)
            raise
        if to_work:
            check_hours(policy, self._clock())
        package = self._package(plan)
        frozen = found.approval.manifest
        if frozen is None:
            raise NotAllowed("the manifest isn't on the ledger yet", code="no-manifest")
        # Where this site's own copy has it; the place that the hub told counts for nothing.
        manifest = self._mirror.index_of(frozen)
        if manifest is None or self._mirror.settled() <= manifest:
            raise ManifestNotSettled(f"a quorum hasn't cosigned the manifest of {project} yet")
        return Assignment(
            site=self._site,
            cohort=Cohort(self._place, cases, None if plan.reads == "images" else self._records),
            plan=plan,
            manifest=manifest,
            terms=found.terms,
            threads=min(self._threads, policy.work.threads or self._threads),
            weight=told_size(told_people(frozen)),
            package=package,
            jail=Bounds(memory_bytes=int(policy.work.jail_memory_gb * 1024**3), seconds=policy.work.jail_minutes * 60),
        )

    def begin(self, project: str, digest: str, run: str, *, to_work: bool = True) -> Assignment:
        """As `check`, and from here on the run is one of those that the approval allows.

        Raises: as `check`.
        """
        assignment = self.check(project, digest, run, to_work=to_work)
        with self._database.writing() as session:
            found = self._may_work(session, project, digest)
            allowance.begin_run(session, found, run, at=self._clock())
        return assignment

    def check_room(self, running: int) -> None:
        """May a run be joined beside so many others? Raises `NotAllowed`: `too-many-runs`."""
        check_runs_at_once(self._policy(), running)

    def works_now(self) -> bool:
        """Whether this hospital works for projects at this hour."""
        return self._policy().work.when.open_at(self._clock())

    def check_holds(self, project: str, digest: str) -> None:
        """Does the approval hold still? Raises `NotAllowed`, see `standing.check_may_work`."""
        with self._database.reading() as session:
            self._may_work(session, project, digest)

    def check_round(self, project: str, digest: str, number: int, total: int) -> None:
        """May this round of a run of `total` rounds be done here? Raises `NotAllowed`, see `allowance.check_round`."""
        with self._database.reading() as session:
            found = self._may_work(session, project, digest)
            allowance.check_round(found, number, total)

    def release(
        self,
        project: str,
        digest: str,
        kind: LeavingKind,
        *,
        run: str,
        content: str,
        size: int,
        round_number: int = 0,
    ) -> None:
        """Let a message leave, if the approval still holds and has room for it, and count it.

        Raises:
            NotAllowed: as for `standing.check_may_work` and `allowance.release`.
        """
        at = self._clock()
        with self._database.writing() as session:
            found = self._may_work(session, project, digest)
            allowance.release(
                session, found, kind, run=run, content=content, size=size, round_number=round_number, at=at
            )

    def _may_work(self, session: Session, project: str, digest: str) -> Standing:
        """The one rule for all work, and over what was approved this hospital's policy as it is now."""
        today = self._clock().date()
        return under(self._policy(), check_may_work(session, project, digest, today=today), on=today)

    def noise_key(self, run: str, round_number: int) -> bytes:
        """The secret from which the noise of one round's update follows."""
        return self._keys.key(f"update noise {run} {round_number}")

    def patients(self, project: str, names: Iterable[str]) -> set[str]:
        """The site's own pseudonyms of those people of a frozen cohort whom the project knows by `names`."""
        theirs, wanted = self._keys.for_project(project), set(names)
        with self._database.reading() as session:
            patients = {study.patient for study in queries.manifest(session, project)}
        return {patient for patient in patients if theirs.patient(patient) in wanted}

    def _tell(self, project: str, served: Served) -> None:
        """Into this node's own log, once for each change."""
        if self._told.get(project) != served and (served.left_out or project in self._told):
            _log.info("project %s: %s", project, served.in_words())
        self._told[project] = served

    def _package(self, plan: RunPlan) -> Path:
        """What runs here has to be the very package whose digest was approved, and what the plan says of it."""
        try:
            folder = self._packages.find(plan.package, plan.package_digest)
            read_bundle(folder).check_fits(plan)
        except BundleRefused as error:
            code = "no-package" if error.reason == "unknown-package" else error.reason
            raise NotAllowed(
                f"the model package {plan.package} can't be used here: {error}. Install the version of Wardround that "
                "the hub has, or add the package with `wardround package add`, and submit the project anew",
                code=code,
            ) from error
        if plan.own_code:
            try:
                check_jail()
            except JailUnavailable as error:
                raise NotAllowed(str(error), code=error.code) from error
        return folder
