"""A project in plain words: exactly what it asks, line by line, for whoever decides on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from wardround.contracts.approval_limits import Terms, terms_of
from wardround.contracts.metric import METRICS
from wardround.contracts.project import Project
from wardround.contracts.run_plan import Reads


def in_words(project: Project, terms: Terms | None = None) -> list[str]:
    """What is asked or, with `terms`, what holds of it at one hospital. Nothing of the project is left out."""
    return list(_lines(project, terms_of(project) if terms is None else terms))


def _lines(project: Project, terms: Terms) -> Iterator[str]:
    plan = project.plan
    yield f"Purpose:      {project.purpose}"
    yield from _each("Researcher:", [project.researcher, *(f"{one.name}, {one.part}" for one in project.people)])
    yield from _each("Lawful basis:", project.lawful_basis.in_words())
    yield from _each("Data use:", [term.in_words() for term in project.data_use])
    yield f"Cohort:       {project.cohort.in_words()}"
    yield f"Computes:     package {plan.package}, setting {plan.setting}"
    yield f"              of digest {plan.package_digest}"
    yield f"              by {plan.algorithm.in_words()} from seed {plan.seed}, {_steps(plan.local_steps)}"
    yield f"              rounds in each run at most {terms.rounds}, runs at most {terms.runs}"
    for line in plan.layers.in_words():
        yield f"              {line}"
    if plan.own_code:
        yield "              by Python that the package brings, which runs in a jail: no network, no other data"
    yield f"              reads {READS[plan.reads]} of each person in the cohort"
    yield f"              judged by {METRICS[plan.metric].words} on patients held out here"
    if plan.target is not None:
        yield f"              a run ends early at a mean {METRICS[plan.metric].words} of {plan.target:g}"
    if plan.plateau is not None:
        yield f"              a run ends early {plan.plateau.in_words(plan.metric)}"
    yield f"              a round needs {plan.quorum} hospitals and waits {plan.deadline_seconds:g} s for the others"
    alone = terms.leaving("local-model") is not None
    yield f"              {'also a model' if alone else 'no model'} trained on this hospital's patients alone"
    if plan.robust is not None:
        yield f"              updates put together with {plan.robust.in_words()}"
    yield f"Privacy:      {'updates leave as they are' if terms.privacy is None else terms.privacy.in_words()}"
    if terms.patient_privacy is not None:
        yield f"Patients:     {terms.patient_privacy.in_words()}"
        yield "              no round tells how good it is; the judgement of a finished model isn't part of that budget"
    if terms.masking is not None:
        yield f"              {terms.masking.in_words()}"
    yield f"Steps:        {', '.join(terms.steps)}, in this order, before an update leaves"
    yield from _each("Leaves:", [leaving.in_words() for leaving in terms.leaves])
    yield f"Until:        {terms.until:%Y-%m-%d}, the last day of use"


READS: Mapping[Reads, str] = {
    "images": "images",
    "records": "health records, without images,",
    "images-and-records": "images and health records",
}


def _each(name: str, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{name if number == 0 else '':<14}{line}"


def _steps(steps: int | None) -> str:
    return "the setting's own number of steps a round" if steps is None else f"{steps} steps a round"
