"""What a study's proof shows, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wardround.ledger.keys import LedgerKeys
    from wardround.ledger.study_proof import Step, StudyShown, Usage

_TIME = "%Y-%m-%d %H:%M:%SZ"
_PURPOSES = {
    "preparation": "to hold the cohort ready",
    "training": "to train on it",
    "judging": "to judge a model",
}


def words_of(shown: StudyShown, keys: LedgerKeys) -> Iterator[str]:
    """One line for each thing that is proven."""
    yield (
        f"Proven by {keys.hub.name}, in the tree of {shown.checkpoint.size} entries that "
        f"{', '.join(shown.cosigned_by)} cosigned ({shown.quorum} of {len(keys.witnesses)} have to):"
    )
    yield f"Study {shown.study}"
    for usage in shown.usages:
        yield from _usage(usage)


def _usage(usage: Usage) -> Iterator[str]:
    from wardround.contracts.ledger_entry import Approval, Evidence, Model, Purge, Update, Use, Withdrawal

    approval = usage.approval.entry
    assert isinstance(approval, Approval)  # noqa: S101 - the check has looked
    until = f" until {approval.until:%Y-%m-%d}" if approval.until else ""
    yield (
        f"  for project {approval.project} (digest {approval.project_digest[:16]}…), approved by {usage.approval.by} "
        f"on {usage.approval.at:{_TIME}}{until} [entry {usage.approval.index}]"
    )
    yield (
        f"  was put into the cohort that {usage.manifest.by} froze on {usage.manifest.at:{_TIME}} "
        f"[entry {usage.manifest.index}]"
    )
    updates = [step for step in usage.uses if isinstance(step.entry, Update)]
    if not usage.uses:
        yield "  and was used for nothing that is on record up to there."
    for run, steps in _by_run(updates).items():
        first, last = steps[0].at, steps[-1].at
        number = f"{len(steps)} update{'' if len(steps) == 1 else 's'}"
        yield (
            f"  was learned from at {usage.manifest.by} in run {run}: {number} from {first:{_TIME}} to "
            f"{last:{_TIME}} [{_places(steps)}]"
        )
    for run, steps in _by_run([step for step in usage.uses if isinstance(step.entry, Use)]).items():
        for purpose, words in _PURPOSES.items():
            if read := [step for step in steps if isinstance(step.entry, Use) and step.entry.purpose == purpose]:
                yield f"  was read for run {run} {words}: {_times(len(read))} [{_places(read)}]"
    for step in usage.uses:
        if isinstance(step.entry, Evidence):
            yield (
                f"  was among the cases held ready when {usage.manifest.by} judged model {step.entry.model[:16]}… on "
                f"{step.at:{_TIME}} [entry {step.index}]"
            )
    for run, steps in _by_run(usage.aggregates).items():
        yield f"  went into the hub's aggregates of run {run}: {len(steps)} rounds [{_places(steps)}]"
    for step in usage.models:
        assert isinstance(step.entry, Model)  # noqa: S101 - Usage.take has looked
        yield (
            f"  went into model {step.entry.digest[:16]}…, registered from run {step.entry.run} on {step.at:{_TIME}} "
            f"[entry {step.index}]"
        )
    for step in usage.ended:
        if isinstance(step.entry, Withdrawal):
            yield f"  the approval was withdrawn on {step.at:{_TIME}} ({step.entry.reason}) [entry {step.index}]"
        elif isinstance(step.entry, Purge):
            yield f"  studies of the cohort were purged on {step.at:{_TIME}} ({step.entry.reason}) [entry {step.index}]"


def _by_run(steps: Sequence[Step]) -> dict[str, list[Step]]:
    runs: dict[str, list[Step]] = {}
    for step in steps:
        runs.setdefault(str(getattr(step.entry, "run", "")), []).append(step)
    return runs


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _places(steps: Sequence[Step]) -> str:
    shown = ", ".join(str(step.index) for step in steps[:8])
    if len(steps) == 1:
        return f"entry {shown}"
    return f"entries {shown}{f' and {len(steps) - 8} more' if len(steps) > 8 else ''}"
