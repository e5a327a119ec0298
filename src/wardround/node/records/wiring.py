"""A home's health records, put together: for the running node and for commands."""

from __future__ import annotations

from wardround.foundation.clock import Clock, now
from wardround.node.deidentify.department import Department
from wardround.node.home import NodeHome
from wardround.node.records.images import Images
from wardround.node.records.keys import RecordKeys
from wardround.node.records.leaving import Leaving
from wardround.node.records.load import Loader
from wardround.node.records.people import People
from wardround.node.records.store import Records


def records_at(home: NodeHome) -> Records:
    """The records of a node."""
    return Records(home.path / "omop", home.settings.records)


def leaving_at(home: NodeHome, secret: bytes) -> Leaving:
    """What takes people out of a node's records."""
    return Leaving(records_at(home), RecordKeys(secret))


def images_at(home: NodeHome, secret: bytes) -> Images:
    """What keeps the images of a node's records in step with its enclave."""
    return Images(home.database, records_at(home), RecordKeys(secret))


def loader_at(home: NodeHome, department: Department, clock: Clock = now) -> Loader:
    """What loads into a node's records.

    Raises: as `Department` does.
    """
    keys = RecordKeys(department.secret)
    people = People(
        home.database,
        department.vault,
        department.register,
        department.pseudonyms,
        keys,
        home.settings.deidentification.home_issuer,
    )
    return Loader(records_at(home), people, keys, clock)
