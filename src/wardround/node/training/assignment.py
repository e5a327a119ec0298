"""From an approved project to what the learning process is given. Nothing reaches it by another way."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from wardround.contracts.disclosure import SMALLEST_TOLD, told_size
from wardround.contracts.run_plan import RunPlan
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.clock import Clock
from wardround.foundation.database import Database
from wardround.foundation.errors import NotAllowed, Unreachable
from wardround.learning.bundle import BundleRefused, bundle_digest, packaged
from wardround.ledger.mirror import Mirror
from wardround.node.projects import queries
from wardround.node.projects.actions import told_people
from wardround.node.projects.served import Served, served_cases
from wardround.node.training.cohort import Cohort, EnclavePlace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """What to learn from and how: the frozen cohort and the plan, as this site's data controller approved them.

    Of the cohort those are left out who opted out since, and what was purged.

    `manifest` is the cohort's place in the ledger, which each use of it names, and `weight` the size of it that is told
    there, which is what it weighs in an average.
    """

    site: str
    cohort: Cohort
    plan: RunPlan
    manifest: int
    threads: int = 1
    weight: int = SMALLEST_TOLD


class ManifestNotSettled(Unreachable):
    """A quorum of sites hasn't cosigned the manifest yet, as far as this site knows; trying again soon may work."""

    code = "manifest-not-settled"


class Assignments:
    """Hands out work, each time anew under the one rule of `queries.check_may_work`.

    Args:
        keys: the site's, from which each project's own pseudonyms are made.
    """

    def __init__(
        self,
        site: str,
        database: Database,
        place: EnclavePlace,
        mirror: Mirror,
        keys: PseudonymKeys,
        clock: Clock,
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
        self._threads = threads

    def check(self, project: str, digest: str) -> Assignment:
        """What may be learned from for that edition of a project.

        Raises:
            NotAllowed: `not-approved`, `expired`, `no-manifest`; `package-differs`, the model package that is installed
                here isn't the one that was approved; `ledger-untrusted`, the hub's ledger contradicts itself or
                lacks a quorum for too long (`wardround.ledger.trust`).
            ManifestNotSettled: the hub could still take the manifest back unseen.
        """
        self._mirror.check_trusted(self._clock())
        with self._database.reading() as session:
            row = queries.check_may_work(session, project, digest, today=self._clock().date())
            plan = queries.project_of(row).plan
            cases, served = served_cases(session, project, self._keys)
        self._tell(project, served)
        self._check_package(plan)
        if row.manifest is None:
            raise NotAllowed("the manifest isn't on the ledger yet", code="no-manifest")
        # Where this site's own copy has it; the place that the hub told counts for nothing.
        manifest = self._mirror.index_of(row.manifest)
        if manifest is None or self._mirror.settled() <= manifest:
            raise ManifestNotSettled(f"a quorum hasn't cosigned the manifest of {project} yet")
        return Assignment(
            site=self._site,
            cohort=Cohort(self._place, cases),
            plan=plan,
            manifest=manifest,
            threads=self._threads,
            weight=told_size(told_people(row.manifest)),
        )

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
