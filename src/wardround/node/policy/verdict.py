"""Would this hospital's policy let a project be carried out here, and how? Pure: no clock, no file, no database.

Each rule gives one finding. A bound (rounds, runs, days, sizes, privacy) tightens a project that asks for more; what
can't be tightened (another package, another lawful basis, a message that work needs) refuses it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from wardround.contracts.approval_limits import ApprovalLimits, Terms, terms_of
from wardround.contracts.data_use import LABELS
from wardround.contracts.patient_privacy import PatientPrivacy
from wardround.contracts.privacy import Privacy
from wardround.contracts.project import Project
from wardround.contracts.steps import STEPS
from wardround.foundation.errors import NotAllowed
from wardround.node.policy.kinds import MASKED_WORK_KINDS, WORK_KINDS
from wardround.node.policy.rules import Policy
from wardround.node.policy.terms import may_leave, terms

NO_LIMITS = ApprovalLimits()


class Outcome(StrEnum):
    ALLOWED = "allowed"
    TIGHTENED = "tightened"
    REFUSED = "refused"


class PolicyForbids(NotAllowed):
    """This hospital's policy forbids it; `code` is the rule's."""

    code = "policy-forbids"


class OutsideHours(PolicyForbids):
    """Not at this hour; later it may be."""

    code = "outside-hours"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says. `rule` is its key in policy.toml, `words` what is asked, `instead` what would be allowed
    where that isn't; `code` is the reason that may leave the node.
    """

    rule: str
    outcome: Outcome
    words: str
    instead: str = ""
    code: str = "policy-forbids"

    def in_words(self) -> str:
        return f"{self.words}; {self.instead}" if self.instead else self.words


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings about one project, in the order of policy.toml. `terms` are what holds of it where it is allowed."""

    findings: tuple[Finding, ...]
    terms: Terms

    @property
    def allowed(self) -> bool:
        return not self.refusals

    @property
    def refusals(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.outcome is Outcome.REFUSED)


def verdict(
    policy: Policy,
    project: Project,
    *,
    approved_on: date,
    limits: ApprovalLimits = NO_LIMITS,
    people: int | None = None,
) -> Verdict:
    """What `policy` makes of `project` under the `limits` of its approval.

    Args:
        approved_on: the day of the approval, or today.
        people: how many people its cohort has here, where that is known.
    """
    asked, given = terms_of(project, limits), terms(policy, project, limits, approved_on=approved_on)
    return Verdict(
        (
            *_leaving(policy, asked),
            *_cohort(policy, people),
            *_purpose(policy, project),
            *_plan(policy, project),
            *_bounds(policy, asked, given),
            *_privacy(policy, asked.privacy, given.privacy),
            *_patients(policy, asked.patient_privacy, given.patient_privacy),
            *_steps(policy, given),
            *_work(policy),
        ),
        given,
    )


def check_policy(
    policy: Policy,
    project: Project,
    *,
    approved_on: date,
    limits: ApprovalLimits = NO_LIMITS,
    people: int | None = None,
) -> Terms:
    """Whether `policy` lets the project be carried out at all, and what then holds of it.

    Raises:
        PolicyForbids: the first rule that doesn't, in words, with its code.
    """
    found = verdict(policy, project, approved_on=approved_on, limits=limits, people=people)
    if found.refusals:
        first, more = found.refusals[0], len(found.refusals) - 1
        rest = f" (and {more} more: wardround node policy explain {project.id})" if more else ""
        raise PolicyForbids(f"{project.id}: policy.toml, {first.rule}: {first.in_words()}{rest}", code=first.code)
    return found.terms


def check_people(policy: Policy, people: int) -> None:
    """Whether a cohort of which so many people are left may be worked on.

    Raises:
        PolicyForbids: `not-learnable`, the word for all that is wrong with a cohort: a word of its own would tell the
            hub of the very step at which one person more opted out.
    """
    for finding in _cohort(policy, people):
        if finding.outcome is Outcome.REFUSED:
            raise PolicyForbids(f"policy.toml, {finding.rule}: {finding.in_words()}", code="not-learnable")


def check_runs_at_once(policy: Policy, running: int) -> None:
    """Whether one run more may be joined beside those that are.

    Raises:
        PolicyForbids: `too-many-runs`.
    """
    most = policy.work.most_runs_at_once
    if running >= most:
        raise PolicyForbids(
            f"policy.toml, work.most_runs_at_once = {most}: {running} runs are under way here", code="too-many-runs"
        )


def check_hours(policy: Policy, at: datetime) -> None:
    """Whether this hospital works for projects at that moment.

    Raises:
        OutsideHours: it doesn't.
    """
    if not policy.work.when.open_at(at):
        raise OutsideHours(f"policy.toml, work.hours: this hospital works for projects {policy.work.hours} only")


def _found(rule: str, fits: bool, words: str, instead: str, code: str) -> Finding:
    if fits:
        return Finding(rule, Outcome.ALLOWED, words, code=code)
    return Finding(rule, Outcome.REFUSED, words, instead, code)


def _listed(rule: str, what: str, asked: str, allowed: Collection[str] | None, code: str) -> Finding:
    """A finding about something that has to be on a list; none (None) lets anything through."""
    known = "allowed: " + (", ".join(allowed or ()) or "none")
    return _found(rule, allowed is None or asked in allowed, f"{what} {asked}", known, code)


def _bounded(rule: str, words: str, asked: object, given: object, unit: str) -> Finding:
    if asked == given:
        return Finding(rule, Outcome.ALLOWED, f"{words} {asked}{unit}")
    return Finding(rule, Outcome.TIGHTENED, f"{words} {asked}{unit}", f"{given}{unit} here")


def _leaving(policy: Policy, asked: Terms) -> Iterator[Finding]:
    kinds = WORK_KINDS if asked.masking is None else MASKED_WORK_KINDS
    for kind in kinds:
        yield _found(
            "leaving.kinds",
            may_leave(policy, kind),
            f"{kind} leaves for each run",
            "it may not leave here, and without it there is no run",
            "message-not-allowed",
        )
    if not may_leave(policy, "object-request"):
        yield Finding(
            "leaving.kinds", Outcome.TIGHTENED, "models are fetched from the hub to be judged", "not from here"
        )
    for leaving in asked.leaves:
        if leaving.kind not in kinds and not may_leave(policy, leaving.kind):
            yield Finding("leaving.kinds", Outcome.TIGHTENED, f"{leaving.kind} leaves", "none leaves here")
            continue
        rule = f"leaving.kind.{leaving.kind}.largest_bytes"
        own = policy.leaving.of(leaving.kind).largest_bytes
        largest = leaving.largest_bytes if own is None else min(leaving.largest_bytes, own)
        yield _bounded(rule, f"{leaving.kind} of at most", f"{leaving.largest_bytes:,}", f"{largest:,}", " bytes")


def _cohort(policy: Policy, people: int | None) -> Iterator[Finding]:
    least = policy.cohort.smallest_trained_on
    rule, code = "cohort.smallest_trained_on", "cohort-too-small"
    if people is None:
        yield Finding(rule, Outcome.ALLOWED, f"a cohort of at least {least} people; how many there are isn't known yet")
    else:
        yield _found(rule, people >= least, f"a cohort of {people} people", f"at least {least}", code)


def _purpose(policy: Policy, project: Project) -> Iterator[Finding]:
    rules, basis = policy.projects, project.lawful_basis
    code = "lawful-basis-not-allowed"
    yield _listed("projects.article_6", "GDPR Article", basis.article_6, rules.article_6, code)
    yield _listed("projects.article_9", "GDPR Article", basis.article_9, rules.article_9, code)
    for use in project.data_use:
        found = _listed("projects.data_uses", "data use", use.code, rules.data_uses, "data-use-not-allowed")
        words = f"data use {use.code} ({LABELS[use.code]})"
        yield Finding(found.rule, found.outcome, words, found.instead, found.code)


def _plan(policy: Policy, project: Project) -> Iterator[Finding]:
    rules, plan = policy.projects, project.plan
    code = "package-not-allowed"
    yield _listed("projects.packages", "model package", plan.package, rules.packages, code)
    yield _listed("projects.package_digests", "its digest", plan.package_digest, rules.package_digests, code)
    if plan.own_code:
        words = "Python that the package brings, of digest"
        yield _listed("projects.own_code", words, plan.package_digest, rules.own_code, "own-code-not-allowed")
    code = "algorithm-not-allowed"
    yield _listed("projects.algorithms", "algorithm", plan.algorithm.name, rules.algorithms, code)
    if plan.robust is not None:
        yield _listed("projects.algorithms", "updates put together by", plan.robust.name, rules.algorithms, code)
    if plan.local_steps is not None:
        yield _found(
            "projects.most_local_steps",
            plan.local_steps <= rules.most_local_steps,
            f"{plan.local_steps:,} steps a round",
            f"at most {rules.most_local_steps:,}",
            "too-many-steps",
        )
    for rule, most, what in (("most_runs", rules.most_runs, "runs"), ("most_rounds", rules.most_rounds, "rounds")):
        if most == 0:
            yield Finding(f"projects.{rule}", Outcome.REFUSED, f"{what} are asked", f"no {what} here", f"no-{what}")


def _bounds(policy: Policy, asked: Terms, given: Terms) -> Iterator[Finding]:
    yield _bounded("projects.longest_days", "data used until", asked.until, given.until, "")
    yield _bounded("projects.most_runs", "at most", asked.runs, given.runs, " runs")
    yield _bounded("projects.most_rounds", "at most", asked.rounds, given.rounds, " rounds of each run")
    if asked.leaving("local-model") is not None and given.leaving("local-model") is None:
        # Either it is forbidden, or updates are cut, and a model that was trained alone would leave without that.
        rule = (
            "privacy"
            if policy.projects.compare_alone and may_leave(policy, "local-model")
            else "projects.compare_alone"
        )
        yield Finding(rule, Outcome.TIGHTENED, "a model that was trained here alone leaves", "none leaves here")


def _privacy(policy: Policy, asked: Privacy | None, given: Privacy | None) -> Iterator[Finding]:
    rules = policy.privacy
    words = "updates leave as they are" if asked is None else asked.in_words()
    rule = "privacy.largest_clip_norm" if rules.largest_clip_norm is not None else "privacy.least_noise"
    if rules.least_noise is not None and given is None:
        wanted = f"noise of {rules.least_noise:g} needs a clip norm: approve with limits that name one"
        yield Finding("privacy.least_noise", Outcome.REFUSED, words, wanted, "privacy-too-weak")
    elif given == asked or given is None:
        yield Finding(rule, Outcome.ALLOWED, words)
    else:
        yield Finding(rule, Outcome.TIGHTENED, words, f"{given.in_words()} here")


def _patients(policy: Policy, asked: PatientPrivacy | None, given: PatientPrivacy | None) -> Iterator[Finding]:
    rules = policy.privacy
    rule = "privacy.largest_epsilon" if rules.largest_epsilon is not None else "privacy.largest_delta"
    if asked is None or given is None:
        if rules.largest_epsilon is not None or rules.largest_delta is not None:
            wanted = "a budget for that is needed here: `patient_privacy` in the plan"
            yield Finding(rule, Outcome.REFUSED, "updates tell any amount of a patient", wanted, "privacy-too-weak")
        return
    words = f"patients' epsilon {asked.epsilon:g} at delta {asked.delta:g}"
    if given == asked:
        yield Finding(rule, Outcome.ALLOWED, words)
    else:
        yield Finding(rule, Outcome.TIGHTENED, words, f"epsilon {given.epsilon:g} at delta {given.delta:g} here")


def _steps(policy: Policy, given: Terms) -> Iterator[Finding]:
    for step in policy.privacy.steps:
        does = STEPS[step].does
        yield _found("privacy.steps", step in given.steps, f"{step}: {does}", "it isn't done", "privacy-too-weak")


def _work(policy: Policy) -> Iterator[Finding]:
    work = policy.work
    if work.hours:
        zone = f" ({work.time_zone})" if work.time_zone else ""
        yield Finding("work.hours", Outcome.TIGHTENED, "work at any hour", f"{work.hours}{zone} here")
    if work.most_runs_at_once == 0:
        yield Finding("work.most_runs_at_once", Outcome.REFUSED, "runs are asked", "no runs here", "no-runs")
