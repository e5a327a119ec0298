"""All tables of the hub, gathered for its migrations."""

from __future__ import annotations

import wardround.hub.audit
import wardround.hub.sites.tables
import wardround.hub.tasks.tables  # noqa: F401 - a module of tables registers them
from wardround.hub.base import HubTable

METADATA = [HubTable.metadata]
