"""Pictures of a model's failures lie in the node's database sealed: under a key of this site, each for its own row.

Whoever copies the database, or finds what a purge left on the disk, has no picture.
"""

from __future__ import annotations

from sqlalchemy import func, select

from wardround.dicom.pseudonym import PseudonymKeys
from wardround.foundation.database import Database
from wardround.foundation.errors import NotFound
from wardround.foundation.sealing import NotOpened, Sealer
from wardround.node.evidence.tables import ValidationCase

_PNG = b"\x89PNG\r\n\x1a\n"


class PictureSeal:
    """Seals and opens the pictures of a site's rows of `ValidationCase`."""

    def __init__(self, keys: PseudonymKeys) -> None:
        self._sealer = Sealer(keys.key("pictures of failures"))

    def seal(self, png: bytes, row: int) -> bytes:
        return self._sealer.seal(png, _bound(row))

    def open(self, sealed: bytes, row: int) -> bytes:
        """The PNG of a row.

        Raises:
            NotFound: it was sealed by another site's secret, or for another row, or was changed.
        """
        try:
            return self._sealer.open(sealed, _bound(row))
        except NotOpened:
            raise NotFound("this picture doesn't open with this node's key; validate the model again") from None

    def seal_what_lies_open(self, database: Database) -> None:
        """Seal what an earlier version kept open, and leave nothing of it in the file."""
        lies_open = func.substr(ValidationCase.picture, 1, len(_PNG)) == _PNG
        with database.writing() as session:
            rows = session.scalars(
                select(ValidationCase.id).where(ValidationCase.picture.is_not(None), lies_open)
            ).all()
            if rows and database.is_sqlite:
                session.connection().exec_driver_sql("PRAGMA secure_delete = ON")
            for number in rows:
                row = session.get_one(ValidationCase, number)
                if row.picture is not None:
                    row.picture = self.seal(row.picture, number)
                    session.flush()


def _bound(row: int) -> bytes:
    return f"wardround failure picture v1 {row}".encode()
