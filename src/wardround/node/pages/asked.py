"""The data controller's pages: what projects ask, what this hospital's policy makes of it, and the decision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from wardround.contracts.approval_limits import ApprovalLimits, terms_of
from wardround.contracts.project_words import in_words
from wardround.contracts.steps import STEPS
from wardround.foundation.errors import NotAllowed, WardroundError
from wardround.learning.bundle import BundleRefused, read_bundle
from wardround.learning.packages import Packages
from wardround.node.budget import queries as budget
from wardround.node.desk import Desk
from wardround.node.pages.leaving import KINDS
from wardround.node.policy.explanation import explained
from wardround.node.policy.file import PolicyUnusable
from wardround.node.policy.verdict import Verdict
from wardround.node.projects import approval, queries
from wardround.node.projects.standing import Standing, standing_of
from wardround.node.projects.states import OWNERS, USABLE, DecisionState
from wardround.ui.forms import code_of, grouped
from wardround.ui.page import Moved, Shown, Visit

_NUMBERS = {"rounds": int, "runs": int, "clip_norm": float, "noise_multiplier": float, "epsilon": float, "delta": float}
_CALLED = {
    "until": "last day of use",
    "clip_norm": "norm that updates are cut to",
    "noise_multiplier": "noise",
    "messages": "what leaves",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A project in the list. `standing` is None for an edition that this version can't read, of which `fault` says."""

    id: str
    standing: Standing | None
    owner: str = ""
    fault: str = ""


def projects(desk: Desk, visit: Visit) -> Shown:
    """Those that wait for a decision first, then the newest."""
    found = []
    with desk.home.database.reading() as session:
        for row in reversed(queries.projects(session)):
            if not visit.may("see-asked", row.id):
                continue
            try:
                one = standing_of(session, row, visit.at.date())
            except WardroundError as error:
                found.append(Line(row.id, None, fault=str(error)))
            else:
                found.append(Line(row.id, one, owner=OWNERS[one.state]))
    found.sort(key=lambda line: line.standing is None or line.standing.state is not DecisionState.WAITING)
    return Shown("projects.html", {"lines": found, "done": visit.asked("done"), "about": visit.asked("about")})


def project(desk: Desk, visit: Visit) -> Shown:
    """Exactly what is asked, in the words of `wardround node show`, beside what holds here."""
    name = visit.path["project"]
    found = approval.standing_now(desk, name)
    approving = desk.freezing.approving(name)
    deciding = approving is not None and approving.under_way
    job = None
    if visit.may("approve-project", name) and not deciding:
        job = desk.freezing.count(name, anew=visit.asked("look") != "again")
    counting = job is not None and not job.over_within(desk.freezing.quick)
    uncounted = job.fault if job is not None else ""
    here = job.result(0) if job is not None and not counting and not uncounted else None
    judged, fault = (None, "") if counting or deciding else _verdict(desk, name, here)
    with desk.home.database.reading() as session:
        past = queries.decisions(session, name)
        privacy = found.terms.patient_privacy
        spent = None if privacy is None else budget.in_words(session, name, privacy)
    values = {
        "id": name,
        "standing": found,
        "owner": OWNERS[found.state],
        "words": grouped(in_words(found.project, found.terms)),
        "asked": terms_of(found.project),
        "steps": [(name, STEPS[name]) for name in found.terms.steps],
        "kinds": KINDS,
        "package": list(_of_package(desk, found)),
        "approving": approving,
        "deciding": deciding,
        "counting": job if counting else None,
        "here": here,
        "uncounted": uncounted,
        "at": visit.at,
        "verdict": judged,
        "policy_fault": fault,
        "spent": spent,
        "waiting": found.state is DecisionState.WAITING,
        "usable": found.state in USABLE,
        "past": past,
        "may_approve": visit.may("approve-project", name),
        "may_refuse": visit.may("refuse-project", name),
        "may_withdraw": visit.may("withdraw-project", name),
    }
    return Shown("project.html", values)


def approve(desk: Desk, visit: Visit) -> Moved:
    """By the same verb as `wardround node approve`, with the limits that the form has; where it takes long it goes on
    beside, and the project's page says how far it is."""
    name = visit.path["project"]
    job = desk.freezing.approve(name, visit.field("digest"), limits=limits_of(visit), actor=visit.by)
    if not job.over_within(desk.freezing.quick):
        return Moved(f"/projects/{name}?look=again#deciding")
    return Moved(f"/projects?done=approved&about={job.result(0)}")


def give_up(desk: Desk, visit: Visit) -> Moved:
    """An approval that is under way."""
    name = visit.path["project"]
    desk.freezing.give_up(name, actor=visit.by)
    return Moved(f"/projects/{name}?look=again")


def uncount(desk: Desk, visit: Visit) -> Moved:
    """Wait no longer for how many people there are."""
    name = visit.path["project"]
    desk.freezing.stop_counting(name)
    return Moved(f"/projects/{name}?look=again")


def refuse(desk: Desk, visit: Visit) -> Moved:
    approval.refuse(desk, visit.path["project"], visit.field("digest"), code_of(visit), actor=visit.by)
    return Moved("/projects?done=refused")


def withdraw(desk: Desk, visit: Visit) -> Moved:
    approval.withdraw(desk, visit.path["project"], code_of(visit), actor=visit.by)
    return Moved("/projects?done=withdrawn")


def limits_of(visit: Visit) -> ApprovalLimits:
    """The form's limits; an empty field limits nothing.

    Raises:
        NotAllowed: one of them can't be read, or is none.
    """
    document: dict[str, object] = {"no_local_model": visit.field("no_local_model") == "yes"}
    if visit.field("until"):
        document["until"] = visit.field("until")
    for name, kind in _NUMBERS.items():
        if visit.field(name):
            document[name] = _number(visit.field(name), kind, _CALLED.get(name, name))
    document["messages"] = list(_messages(visit))
    try:
        return ApprovalLimits.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = str(fault["loc"][0]) if fault["loc"] else "a limit"
        raise NotAllowed(f"{_CALLED.get(name, name)}: {fault['msg']}") from None


def _messages(visit: Visit) -> Iterator[dict[str, object]]:
    for kind in visit.form.get("kind", ()):
        largest, times = visit.field(f"largest-{kind}"), visit.field(f"times-{kind}")
        if largest or times:
            yield {
                "kind": kind,
                "largest_bytes": _number(largest, int, f"size of {kind}") if largest else None,
                "times": _number(times, int, f"how often {kind} leaves") if times else None,
            }


def _number(text: str, kind: type[int] | type[float], called: str) -> int | float:
    try:
        return kind(text.replace(",", ""))
    except ValueError:
        raise NotAllowed(f"{called}: {text!r} is no number") from None


def _verdict(desk: Desk, name: str, here: int | None) -> tuple[Verdict | None, str]:
    try:
        return explained(desk, name, desk.home.policy.current(), here=here, count=False).verdict, ""
    except PolicyUnusable as error:
        return None, str(error)


def _of_package(desk: Desk, found: Standing) -> Iterator[str]:
    """What the package reads of somebody's records, or why that can't be told."""
    plan = found.project.plan
    try:
        bundle = read_bundle(Packages(desk.home.packages).find(plan.package, plan.package_digest))
    except BundleRefused:
        yield "it isn't here, so nothing can be done for this project yet: add it with `wardround package add`"
    else:
        yield from bundle.facts_in_words()
