"""Alembic environment of the hub's database."""

from wardround.foundation.migration import migrate
from wardround.hub.schema import METADATA

migrate(METADATA)
