"""All tables of the hub, gathered for its migrations."""

from __future__ import annotations

from wardround.hub.base import HubTable

METADATA = [HubTable.metadata]
