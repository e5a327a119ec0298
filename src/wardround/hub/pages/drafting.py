"""The form of a project's draft: its words, its cohort and its plan. What it leaves out stays as the draft has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from wardround.contracts.algorithm import AlgorithmName
from wardround.contracts.data_use import FORMS, LABELS, PERMISSIONS
from wardround.contracts.lawful_basis import ARTICLE_6, ARTICLE_9
from wardround.contracts.project import Project
from wardround.contracts.run_plan import RunPlan
from wardround.contracts.standard_project import usual_leaves
from wardround.foundation.errors import Conflict, NotAllowed, WardroundError
from wardround.hub.home import HubHome
from wardround.hub.pages import cohort_form
from wardround.hub.projects import actions, queries
from wardround.hub.projects.states import ProjectState
from wardround.hub.projects.tables import ProjectRow
from wardround.hub.sites.queries import members
from wardround.learning.bundle import BundleRefused, packaged, shipped
from wardround.learning.packages import Packages
from wardround.learning.usual_plan import usual_plan
from wardround.people.acting import acting_as
from wardround.ui.forms import whole
from wardround.ui.page import Moved, Shown, Visit

MODIFIERS = {code: label for code, label in LABELS.items() if code not in PERMISSIONS and code not in FORMS}
"""The modifiers of data use that need nothing beside them; a draft may have others from its file."""
LASTS = timedelta(days=180)
_WORDS = ("id", "title", "purpose", "article_6", "article_9", "permission", "detail", "ends", "runs")
_PLAN = ("package", "setting", "algorithm", "rounds", "quorum")


def new(home: HubHome, visit: Visit) -> Shown:
    """An empty form, with what is usual where there is something usual."""
    with home.database.reading() as session:
        sites = len(members(session))
    said = dict.fromkeys((*_WORDS, *_PLAN, *cohort_form.NAMES), "") | {
        "article_6": "6-1-e",
        "article_9": "9-2-j",
        "permission": "DUO:0000006",
        "DUO:0000021": "yes",
        "ends": str(visit.at.date() + LASTS),
        "runs": "3",
        "package": next(iter(_packages(home))),
        "setting": "default",
        "algorithm": "fedavg",
        "quorum": str(sites // 2 + 1),
        "images": "yes",
    }
    return _form(home, said)


def edited(home: HubHome, visit: Visit) -> Shown:
    """The form with what the draft has."""
    project = _draft_of(home, visit.path["project"])
    permission = next(term for term in project.data_use if term.code in PERMISSIONS)
    said = {
        "id": project.id,
        "title": project.title,
        "purpose": project.purpose,
        "article_6": project.lawful_basis.article_6,
        "article_9": project.lawful_basis.article_9,
        "permission": permission.code,
        "detail": permission.detail or "",
        "ends": str(project.ends),
        "runs": str(project.runs),
        "rounds": str(project.plan.rounds),
        "quorum": str(project.plan.quorum),
    }
    said |= {term.code: "yes" for term in project.data_use}
    return _form(home, said | cohort_form.fields_of(project.cohort), project)


def create(home: HubHome, visit: Visit) -> Shown | Moved:
    """By the same verb as `wardround project create`, for a project that isn't there yet."""
    said = _typed(visit)
    acting_as(visit.roster, visit.token, "draft-project", said["id"])  # the address names no project to ask about
    try:
        with home.database.reading() as session:
            sites = len(members(session))
        plan = _plan(home, said)
        given = {"id": said["id"], "researcher": visit.somebody.name, "plan": plan}
        project = _project(given | {"leaves": usual_leaves(plan, max(sites, plan.quorum))}, said, visit)
        return _keep(home, project, visit, new=True)
    except WardroundError as fault:
        return _form(home, said, fault=str(fault))


def edit(home: HubHome, visit: Visit) -> Shown | Moved:
    """By the same verb: a new edition of a draft, under the short name of the address."""
    was, said = _draft_of(home, visit.path["project"]), _typed(visit)
    try:
        numbers = {name: _number(said[name], name) for name in ("rounds", "quorum")}
        plan = RunPlan.model_validate(was.plan.model_dump(mode="json") | numbers)
        return _keep(home, _project(was.model_dump(mode="json") | {"plan": plan}, said, visit), visit)
    except ValidationError as error:
        return _form(home, said | {"id": was.id}, was, fault=_first(error))
    except WardroundError as fault:
        return _form(home, said | {"id": was.id}, was, fault=str(fault))


def _keep(home: HubHome, project: Project, visit: Visit, *, new: bool = False) -> Moved:
    """Raises `Conflict` where a new one would take the place of another."""
    with home.database.writing() as session:
        if new and session.get(ProjectRow, project.id) is not None:
            raise Conflict(f"there is a project {project.id} already; choose another short name")
        actions.draft(session, project, actor=visit.by, at=visit.at)
    return Moved(f"/projects/{project.id}?done=kept")


def _typed(visit: Visit) -> dict[str, str]:
    return cohort_form.typed(visit) | {name: visit.field(name) for name in (*_WORDS, *_PLAN, *MODIFIERS)}


def _project(given: Mapping[str, Any], said: Mapping[str, str], visit: Visit) -> Project:
    """What is drafted: `given`, with what the form says.

    Raises:
        NotAllowed: it can't be a project; the text says which part and why.
    """
    permission = {"code": said["permission"]} | ({"detail": said["detail"]} if said["detail"] else {})
    kept = [term for term in given.get("data_use", ()) if term["code"] in FORMS and term["code"] not in PERMISSIONS]
    chosen = [{"code": code} for code in MODIFIERS if said[code]]
    document = dict(given) | {
        "title": said["title"],
        "purpose": said["purpose"],
        "lawful_basis": {"article_6": said["article_6"], "article_9": said["article_9"]},
        "data_use": [permission, *chosen, *kept],
        "cohort": cohort_form.question_of(said),
        "runs": _number(said["runs"], "runs"),
        "ends": said["ends"],
    }
    try:
        project = Project.model_validate(document)
    except ValidationError as error:
        raise NotAllowed(_first(error)) from None
    if project.ends < visit.at.date():
        raise NotAllowed(f"ends: {project.ends} is past; name a later last day")
    return project


def _plan(home: HubHome, said: Mapping[str, str]) -> RunPlan:
    folders = _packages(home)
    if said["package"] not in folders:
        raise NotAllowed(f"package: there is none of that name here; there are {', '.join(folders)}")
    rounds = _number(said["rounds"], "rounds") if said["rounds"] else None
    algorithm = next((name for name in get_args(AlgorithmName) if name == said["algorithm"]), None)
    if algorithm is None:
        raise NotAllowed(f"algorithm: there are {', '.join(get_args(AlgorithmName))}")
    try:
        return usual_plan(
            folders[said["package"]],
            setting=said["setting"] or "default",
            algorithm=algorithm,
            rounds=rounds,
            quorum=_number(said["quorum"], "quorum"),
        )
    except BundleRefused as refused:
        raise NotAllowed(f"package: {refused}") from None
    except ValidationError as error:
        raise NotAllowed(_first(error)) from None


def _packages(home: HubHome) -> dict[str, Path]:
    """The packages of this hub by a name that tells them apart."""
    added = {
        f"{name} {digest[:12]}": home.packages / digest for digest, name in Packages(home.packages).listed().items()
    }
    return {name: packaged(name) for name in shipped()} | added


def _draft_of(home: HubHome, name: str) -> Project:
    """Raises `Conflict` for a project that isn't a draft any more."""
    with home.database.reading() as session:
        row, project = queries.row_of(session, name), queries.project_of(session, name)
    if row.state != ProjectState.DRAFT:
        raise Conflict(f"project {name} is {row.state} and can't be edited; draft one under another name")
    return project


def _form(home: HubHome, said: Mapping[str, str], project: Project | None = None, *, fault: str = "") -> Shown:
    """The form. `project`: the draft that it edits."""
    values = {
        "said": dict.fromkeys(MODIFIERS, "") | dict(said),
        "project": project,
        "fault": fault,
        "packages": list(_packages(home)),
        "algorithms": get_args(AlgorithmName),
        "article_6": ARTICLE_6,
        "article_9": ARTICLE_9,
        "permissions": {code: LABELS[code] for code in sorted(PERMISSIONS)},
        "details": {code: FORMS[code][1] for code in sorted(PERMISSIONS) if code in FORMS},
        "modifiers": MODIFIERS,
        "rows": cohort_form.ROWS,
        "kinds": cohort_form.KINDS,
        "sexes": cohort_form.SEXES,
    }
    return Shown("drafting.html", values, 409 if fault else 200)


def _number(text: str, called: str) -> int:
    if (number := whole(text)) is None:
        raise NotAllowed(f"{called}: {text!r} is no whole number")
    return number


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in fault['loc']) or 'the project'}: {fault['msg']}"
