"""All tables of the node, gathered for its migrations."""

from __future__ import annotations

import wardround.node.audit
import wardround.node.enclave.tables
import wardround.node.gateway.tables
import wardround.node.link.tables
import wardround.node.membership.tables
import wardround.node.receive.tables  # noqa: F401 - a module of tables registers them
from wardround.node.base import NodeTable

METADATA = [NodeTable.metadata]
