"""A home's health records, put together: for the running node and for commands."""

from __future__ import annotations

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.clock import Clock, now
from wardround.node.deidentify.department import Department
from wardround.node.home import NodeHome
from wardround.node.records.images import Images
from wardround.node.records.keys import RecordKeys
from wardround.node.records.leaving import Leaving
from wardround.node.records.load import Loader
from wardround.node.records.mllp.service import conventions_of, messages_folder
from wardround.node.records.mllp.spool import messages_in
from wardround.node.records.mllp.waiting import WaitingMessages
from wardround.node.records.people import People, ids_of
from wardround.node.records.row import PersonIdentity
from wardround.node.records.store import Records


def records_at(home: NodeHome) -> Records:
    """The records of a node."""
    return Records(home.path / "omop", home.settings.records)


def leaving_at(home: NodeHome, secret: bytes) -> Leaving:
    """What takes people out of a node's records.

    Raises:
        RecordsRefused: the mapping file of `[records.mllp]` can't be used, and messages wait.
    """
    waiting: WaitingMessages | None = None
    if messages_in(messages_folder(home)):
        pseudonyms, home_issuer = PseudonymKeys(secret), home.settings.deidentification.home_issuer

        def pseudonym(who: PersonIdentity) -> str:
            return pseudonyms.patient(*ids_of(who, home_issuer).ids[0])

        waiting = WaitingMessages(messages_folder(home), conventions_of(home), pseudonym)
    return Leaving(records_at(home), RecordKeys(secret), waiting)


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
    return Loader(records_at(home), people, keys, clock, images_at(home, department.secret).tick)
