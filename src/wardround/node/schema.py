"""All tables of the node, gathered for its migrations."""

from __future__ import annotations

from wardround.node.base import NodeTable

METADATA = [NodeTable.metadata]
