"""The parts of a project that follow from the others, for a template to begin with."""

from __future__ import annotations

from wardround.contracts.algorithm import Ditto, Merge
from wardround.contracts.project import Leaving
from wardround.contracts.run_plan import RunPlan

LARGEST_UPDATE = 64_000_000
"""Bytes that hold an update of every model package that comes with this program."""


def usual_leaves(plan: RunPlan, sites: int, *, largest: int = LARGEST_UPDATE) -> tuple[Leaving, ...]:
    """What has to leave for `plan` to be carried out at each of `sites` hospitals.

    An update may leave twice a round, since a round that broke is done again, and not always to the same bit.
    """
    merging = isinstance(plan.algorithm, Merge)
    # Of each merge statistics may be asked for, which leave as a model does: the mean of all, and a soup's trials.
    times = 1 + sites if merging else 1
    alone = (Leaving(kind="local-model", largest_bytes=largest, times=times),) if plan.compare_alone else ()
    together = isinstance(plan.algorithm, Merge) and plan.algorithm.ensemble
    candidates = sites + together if merging else 4 if isinstance(plan.algorithm, Ditto) else 2
    judged = candidates + (sites if plan.compare_alone else 0)
    update = Leaving(kind="run-update", largest_bytes=largest * plan.algorithm.sent, times=2)
    return (
        *(() if merging else (update,)),
        *alone,
        Leaving(kind="evaluation-result", largest_bytes=4096, times=judged),
    )
