"""A hospital's card of a model: what its copy of the ledger and its shelf of evidence know, and what its people wrote.

What people write here, the hazard log of its own use among it, stays here.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.card_words import Section, Written, card
from wardround.contracts.model_card import CardText
from wardround.ledger.history import history, in_words
from wardround.node import audit
from wardround.node.evidence.ladder import Model
from wardround.node.evidence.shelf import records
from wardround.node.evidence.tables import ModelText
from wardround.node.evidence.words import told


def write(session: Session, model: str, text: CardText, *, actor: str, at: datetime) -> None:
    """Keep a new edition of what people write; the earlier ones stay."""
    session.add(ModelText(model=model, text=text.canonical(), written_by=actor, written_at=at))
    audit.record(session, actor, "edit-card", model, text.content_digest(), clock=lambda: at)


def written_of(session: Session, model: str) -> Written | None:
    """What people wrote last."""
    query = select(ModelText).where(ModelText.model == model).order_by(ModelText.id.desc()).limit(1)
    row = session.scalars(query).first()
    return None if row is None else Written(CardText.model_validate_json(row.text), row.written_by, row.written_at)


def card_of(session: Session, model: Model, size: int) -> str:
    """The card as Markdown.

    Args:
        size: how many entries of this hospital's copy of the ledger were checked.
    """
    origin, became = in_words(history(session, model.package, model.weights, size))
    here = []
    for kept in records(session, model.digests):
        here += [kept.in_words(), *(f"  {line}" for line in told(kept.record))]
    known: list[Section] = [
        ("What it is", [f"digest {model.package}", f"weights {model.weights}"]),
        ("Where it comes from", origin),
        ("What was found here", here),
        ("What became of it", became),
    ]
    written = written_of(session, model.package)
    return card(f"Model {model.package[:12]}", known, written, edit="wardround node model card")
