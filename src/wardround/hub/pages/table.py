"""Every page of a hub in one table: where it is, who may, what answers. `ui.page` says how to add one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from wardround.hub.audit import Audit
from wardround.hub.home import HubHome
from wardround.hub.pages import drafting, drafts, registry, runs
from wardround.hub.pages.federation import federation
from wardround.hub.runs.starting import Beginnings
from wardround.ui import record, rosters, trail
from wardround.ui.page import Page, Scope

TEMPLATES = Path(__file__).parent / "templates"


def pages(home: HubHome, beginnings: Beginnings) -> tuple[Page, ...]:
    """The table, in the order of the menu."""
    return (
        Page("GET", "/federation", "see-federation", partial(federation, home), Scope.EACH, place="Federation"),
        Page("GET", "/projects", "see-drafts", partial(drafts.projects, home), Scope.EACH, place="Projects"),
        Page("GET", "/projects/{project}", "see-drafts", partial(drafts.project, home, beginnings), Scope.PROJECT),
        # Not below /projects: a project may have any short name.
        Page("GET", "/draft", "draft-project", partial(drafting.new, home), Scope.EACH),
        Page("POST", "/draft", "draft-project", partial(drafting.create, home), Scope.EACH),
        Page("GET", "/projects/{project}/edit", "draft-project", partial(drafting.edited, home), Scope.PROJECT),
        Page("POST", "/projects/{project}/edit", "draft-project", partial(drafting.edit, home), Scope.PROJECT),
        Page("POST", "/projects/{project}/count", "ask-counts", partial(drafts.count, home), Scope.PROJECT),
        Page("POST", "/projects/{project}/uncount", "ask-counts", partial(drafts.take_back_count, home), Scope.PROJECT),
        Page("POST", "/projects/{project}/start", "start-run", partial(drafts.start, beginnings), Scope.PROJECT),
        Page("POST", "/projects/{project}/give-up", "stop-run", partial(drafts.give_up, beginnings), Scope.PROJECT),
        Page("POST", "/projects/{project}/submit", "submit-project", partial(drafts.submit, home), Scope.PROJECT),
        Page("POST", "/projects/{project}/end", "end-project", partial(drafts.end, home), Scope.PROJECT),
        Page("GET", "/runs", "see-runs", partial(runs.runs, home), Scope.EACH, place="Runs"),
        Page("GET", "/runs/{project}/{run}", "see-runs", partial(runs.run, home), Scope.PROJECT),
        Page("POST", "/runs/{project}/{run}/stop", "stop-run", partial(runs.stop, home), Scope.PROJECT),
        Page("POST", "/runs/{project}/{run}/resume", "resume-run", partial(runs.resume, home), Scope.PROJECT),
        Page("POST", "/runs/{project}/{run}/end", "end-run", partial(runs.end, home), Scope.PROJECT),
        Page("GET", "/models", "see-registry", partial(registry.models, home), Scope.EACH, place="Models"),
        Page("GET", "/models/{project}/{model}", "see-registry", partial(registry.model, home), Scope.PROJECT),
        *record.pages(home.database, lambda: home.ledger_signer.verifier),
        *rosters.pages(),
        *trail.pages(Audit),
    )
