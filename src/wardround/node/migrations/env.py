"""Alembic environment of the node's database."""

from wardround.foundation.migration import migrate
from wardround.node.schema import METADATA

migrate(METADATA)
