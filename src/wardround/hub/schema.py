"""All tables of the hub, gathered for its migrations."""

from __future__ import annotations

import wardround.hub.audit
import wardround.hub.cohorts.tables
import wardround.hub.projects.tables
import wardround.hub.registry.tables
import wardround.hub.runs.tables
import wardround.hub.sites.tables
import wardround.hub.tasks.tables  # noqa: F401 - a module of tables registers them
from wardround.hub.base import HubTable
from wardround.ledger.tables import metadata as ledger
from wardround.people.tables import PeopleTable

METADATA = [HubTable.metadata, ledger, PeopleTable.metadata]
