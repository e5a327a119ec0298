"""The pages of registered models: what each was made of, how good it is at each hospital, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from wardround.contracts.ledger_entry import Deployment, Evidence, Promotion, Suspension
from wardround.contracts.metric import METRICS
from wardround.foundation.errors import NotFound
from wardround.hub.home import HubHome
from wardround.hub.registry.card import card_of, parents_of
from wardround.hub.registry.evidence import together
from wardround.hub.registry.queries import model_of
from wardround.hub.registry.queries import models as registered
from wardround.hub.registry.tables import ModelRow
from wardround.hub.runs import queries as runs
from wardround.ledger import store
from wardround.ledger.history import History, history
from wardround.ui.page import Shown, Visit
from wardround.ui.picture import Box, Tie, picture


@dataclass(slots=True)
class AtSite:
    """A model at one hospital. `stage`: of each pathway what the newest entry says, and that entry's place; `evidence`
    the places of its records there, by stage."""

    stage: dict[str, tuple[str, int]] = field(default_factory=dict)
    evidence: dict[str, list[int]] = field(default_factory=dict)


def models(home: HubHome, visit: Visit) -> Shown:
    """The newest first."""
    found = []
    with home.database.reading() as session:
        projects = {row.id: row.project for row in runs.runs(session)}
        for row in reversed(registered(session)):
            project = projects.get(row.run)
            if not visit.may("see-registry", project):
                continue
            taken = runs.sites_taken(session, row.run) if project is not None else []
            metrics, names = _metrics(row)
            found.append((row, project, taken, names, metrics))
    return Shown("registry.html", {"models": found})


def model(home: HubHome, visit: Visit) -> Shown:
    """One model: its lineage as a picture, evidence and stage at each hospital, and its card."""
    with home.database.reading() as session:
        row = model_of(session, visit.path["model"])
        run = runs.row_of(session, row.run)
        if run.project != visit.path["project"]:
            raise NotFound(f"project {visit.path['project']} has no model {visit.path['model']}")
        said = history(session, row.digest, row.weights, store.size(session))
        parents = parents_of(home.objects.get(row.archive))
        card, pooled = card_of(session, row, parents, said), together(session, row.digest)
        taken = runs.sites_taken(session, row.run)
    metrics, names = _metrics(row)
    sites = _at_sites(said)
    values = {
        "row": row,
        "run": run,
        "lineage": _lineage(row, run.project, taken, said, sites, parents),
        "cohorts": said.cohorts,
        "updates": said.updates,
        "names": names,
        "metrics": metrics,
        "sites": dict(sorted(({site: AtSite() for site in {*taken, *metrics}} | sites).items())),
        "pooled": pooled,
        "card": card,
    }
    return Shown("model.html", values)


def _metrics(row: ModelRow) -> tuple[dict[str, dict[str, float]], list[tuple[str, str]]]:
    """What each hospital told, and what was told by any, with its words."""
    metrics = json.loads(row.metrics)
    names = sorted({name for told in metrics.values() for name in told})
    return dict(sorted(metrics.items())), [(name, _words(name)) for name in names]


def _words(name: str) -> str:
    """What a metric of the registry is of, as `Registration` keeps it: of the model, or of one trained alone."""
    called = {str(key): metric.words for key, metric in METRICS.items()}
    for before, words in (
        ("local_abroad_", "at all hospitals, of a model trained here alone"),
        ("local_", "here, of a model trained here alone"),
    ):
        if name.startswith(before):
            bare = name.removeprefix(before)
            return f"{called.get(bare, bare)} {words}"
    return f"{called.get(name, name)} here"


def _at_sites(said: History) -> dict[str, AtSite]:
    """By the ledger, whose entries are in the order in which they came: the last word on a pathway holds."""
    found: dict[str, AtSite] = {}
    for place, entry in said.uses:
        at = found.setdefault(entry.origin, AtSite())
        match entry:
            case Evidence():
                at.evidence.setdefault(entry.stage, []).append(place)
            case Deployment() | Promotion() | Suspension():
                at.stage[entry.pathway] = (entry.stage, place)
    return found


def _lineage(
    row: ModelRow, project: str, taken: Sequence[str], said: History, sites: dict[str, AtSite], parents: Sequence[str]
) -> Markup:
    """Cohorts at the left, the run and its model, and where it is in use at the right."""
    gave = [Box(f"from {site}", (site, *_gave(site, said))) for site in taken]
    merged = [Box(f"from {parent}", (parent[:12], "trained alone")) for parent in parents]
    run = Box("run", (row.run, f"run of {project}"))
    made = Box("model", (row.package, row.digest[:12], f"round {row.round}"), True)
    used = [
        Box(f"at {site}", (site, *(word for pathway, (stage, _) in at.stage.items() for word in (stage, pathway))))
        for site, at in sorted(sites.items())
        if at.stage
    ]
    ties = [Tie(box.key, "run") for box in (*gave, *merged)] + [Tie("run", "model")]
    ties += [Tie("model", box.key, all(_over(stage) for stage, _ in sites[box.key[3:]].stage.values())) for box in used]
    return picture("Where the model comes from, and where it is in use", ([*gave, *merged], [run], [made], used), ties)


def _gave(site: str, said: History) -> Iterator[str]:
    if updates := said.updates.get(site, 0):
        yield f"{updates} update{'' if updates == 1 else 's'}"
    for cohort in said.cohorts.values():
        if cohort.origin == site:
            yield "too few to tell" if cohort.people.about is None else f"{cohort.people.in_words()} people"


def _over(stage: str) -> bool:
    return stage in ("suspended", "withdrawn")
