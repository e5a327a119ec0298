"""The page of registered models: what each was made of, and how good it is at each hospital."""

from __future__ import annotations

import json

from wardround.hub.home import HubHome
from wardround.hub.registry.queries import models as registered
from wardround.hub.runs import queries as runs
from wardround.ui.page import Shown, Visit


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
            metrics = json.loads(row.metrics)
            names = sorted({name for told in metrics.values() for name in told})
            found.append((row, project, taken, [(name, _words(name)) for name in names], dict(sorted(metrics.items()))))
    return Shown("registry.html", {"models": found})


def _words(name: str) -> str:
    """What a metric of the registry is of, as `Registration` keeps it: of the model, or of one trained alone."""
    for before, words in (("local_abroad_", "trained alone here, at all"), ("local_", "trained alone here")):
        if name.startswith(before):
            return f"{name.removeprefix(before)}, {words}"
    return name
