"""From an approved project to what the learning process is given. Nothing reaches it by another way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from wardround.contracts.approval_limits import Terms
from wardround.contracts.disclosure import SMALLEST_TOLD, told_size
from wardround.contracts.project import LeavingKind
from wardround.contracts.run_plan import RunPlan
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, Unreachable
from wardround.learning.bundle import BundleRefused, bundle_digest, packaged
from wardround.ledger.mirror import Mirror
from wardround.node.policy.approved import under
from wardround.node.policy.rules import Policy
from wardround.node.policy.verdict import check_hours, check_people, check_runs_at_once
from wardround.node.projects import allowance, queries
from wardround.node.projects.actions import told_people
from wardround.node.projects.served import Served, served_cases
from wardround.node.projects.standing import Standing, check_may_run, check_may_work
from wardround.node.training.cohort import Cohort, EnclavePlace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """What to learn from and how: the frozen cohort and the plan, as this site's data controller approved them.

    Of the cohort those are left out who opted out since, and what was purged.

    `terms` are what this site approved of the plan. `manifest` is the cohort's place in the ledger, which each use of
    it names, and `weight` the size of it that is told there, which is what it weighs in an average.
    """

    site: str
    cohort: Cohort
    plan: RunPlan
    manifest: int
    terms: Terms
    threads: int = 1
    weight: int = SMALLEST_TOLD


class ManifestNotSettled(Unreachable):
    """A quorum of sites hasn't cosigned the manifest yet, as far as this site knows; trying again soon may work."""

    code = "manifest-not-settled"


class Assignments:
    """Hands out work, each time anew under the one rule of `standing.check_may_work`.

    Args:
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

    def check(self, project: str, digest: str, run: str, *, to_work: bool = True) -> Assignment:
        """What that run may learn from, for that edition of a project.

        Args:
            to_work: now; without it, to be ready for work, at whatever hour.

        Raises:
            NotAllowed: `not-approved`, `withdrawn`, `expired`, `no-manifest`, `runs-used-up`; `not-learnable`, too few
                people are left; `package-differs`, the model package that is installed here isn't the one that was
                approved; `ledger-untrusted`, the hub's ledger contradicts itself or lacks a quorum for too long
                (`wardround.ledger.trust`).
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
        self._check_package(plan)
        frozen = found.approval.manifest
        if frozen is None:
            raise NotAllowed("the manifest isn't on the ledger yet", code="no-manifest")
        # Where this site's own copy has it; the place that the hub told counts for nothing.
        manifest = self._mirror.index_of(frozen)
        if manifest is None or self._mirror.settled() <= manifest:
            raise ManifestNotSettled(f"a quorum hasn't cosigned the manifest of {project} yet")
        return Assignment(
            site=self._site,
            cohort=Cohort(self._place, cases),
            plan=plan,
            manifest=manifest,
            terms=found.terms,
            threads=min(self._threads, policy.work.threads or self._threads),
            weight=told_size(told_people(frozen)),
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

    @staticmethod
    def _check_package(plan: RunPlan) -> None:
        """What runs here is this installation's own package: it has to be the one whose digest was approved."""
        try:
            installed = bundle_digest(packaged(plan.package))
        except BundleRefused as error:
            raise NotAllowed(f"no model package {plan.package} is installed here", code="no-package") from error
        if installed != plan.package_digest:
            raise NotAllowed(
                f"{plan.package} as installed here isn't the package that was approved; install the same version of "
                "Wardround at the hub and here, and submit the project anew",
                code="package-differs",
            )
