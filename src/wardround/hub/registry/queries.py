"""Reads of the registry."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.foundation.errors import NotFound
from wardround.hub.registry.tables import ModelRow


def models(session: Session) -> Sequence[ModelRow]:
    return session.scalars(select(ModelRow).order_by(ModelRow.registered_at)).all()


def model_of(session: Session, digest: str) -> ModelRow:
    """A model by its digest or the beginning of it, 8 digits or more.

    Raises:
        NotFound: no model, or more than one, begins so.
    """
    found = session.scalars(select(ModelRow).where(ModelRow.digest.startswith(digest, autoescape=True))).all()
    if len(digest) < 8 or len(found) != 1:
        raise NotFound(f"{len(found)} models begin with {digest}; `wardround model list` shows their digests")
    return found[0]


def object_behind(session: Session, digest: str) -> str:
    """The object that holds what `digest` names: a registered model's archive, or the object of that digest."""
    row = session.get(ModelRow, digest)
    return digest if row is None else row.archive
