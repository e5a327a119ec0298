"""Cohorts that are counted, and frozen by an approval, while whoever asked goes on: each a job of `foundation.jobs`."""

from __future__ import annotations

from wardround.contracts.approval_limits import ApprovalLimits
from wardround.foundation.jobs import Job, Jobs
from wardround.node import audit
from wardround.node.desk import Desk
from wardround.node.projects import approval

QUICK = 2.0
"""Seconds for which a page waits for a job, so that what is over by then is shown at once."""


class Freezing:
    """Jobs on the cohorts of projects, of each kind one of a project at a time. `quick`: see `QUICK`."""

    def __init__(self, desk: Desk) -> None:
        self.quick = QUICK
        self._desk = desk
        self._counts: Jobs[int] = Jobs("count-cohort")
        self._approvals: Jobs[int] = Jobs("approve-project")

    def stop(self) -> None:
        """Give up what is under way; returns once it has ended."""
        self._counts.stop()
        self._approvals.stop()

    def count(self, project: str, *, anew: bool) -> Job[int]:
        """How many people its cohort has here: as it is counted already, or is now. `anew`: what is over by now
        doesn't do."""

        def counted(job: Job[int]) -> int:
            people = approval.people_now(self._desk, project)
            job.check()
            return people

        newest = self._counts.of(project)
        if newest is not None and not anew:
            return newest
        return self._counts.join(project, counted, at=self._desk.clock())

    def stop_counting(self, project: str) -> None:
        """Wait for it no longer. Raises `NotFound`, `Conflict` as `Jobs.give_up`."""
        self._counts.give_up(project)

    def approving(self, project: str) -> Job[int] | None:
        """The newest approval that was asked for of a project since this node was served."""
        return self._approvals.of(project)

    def approve(self, project: str, digest: str, *, limits: ApprovalLimits, actor: str) -> Job[int]:
        """As `approval.approve`, and returns at once. Raises `Conflict` while it is being approved already."""
        return self._approvals.begin(
            project,
            lambda job: approval.approve(self._desk, project, digest, limits=limits, actor=actor, job=job),
            at=self._desk.clock(),
        )

    def give_up(self, project: str, *, actor: str) -> None:
        """Have an approval that is under way not be given; it is in the audit once it is so.

        Raises:
            NotFound: none is under way.
            Conflict: it is given.
        """
        self._approvals.give_up(project)
        with self._desk.home.database.writing() as session:
            audit.record(session, actor, "give-up-approval", project, clock=self._desk.clock)
