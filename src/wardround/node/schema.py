"""All tables of the node, gathered for its migrations."""

from __future__ import annotations

import wardround.node.annotate.tables
import wardround.node.audit
import wardround.node.budget.tables
import wardround.node.clinic.tables
import wardround.node.cohort.tables
import wardround.node.deidentify.tables
import wardround.node.dicomweb.tables
import wardround.node.enclave.tables
import wardround.node.evidence.tables
import wardround.node.gateway.tables
import wardround.node.link.tables
import wardround.node.membership.tables
import wardround.node.optout.tables
import wardround.node.projects.tables
import wardround.node.receive.tables
import wardround.node.record.tables
import wardround.node.report.tables
import wardround.node.retrieve.tables
import wardround.node.review.tables
import wardround.node.training.tables
import wardround.node.workitems.tables  # noqa: F401 - a module of tables registers them
from wardround.ledger.tables import metadata as ledger
from wardround.node.base import NodeTable
from wardround.people.tables import PeopleTable

METADATA = [NodeTable.metadata, ledger, PeopleTable.metadata]
