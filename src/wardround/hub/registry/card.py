"""The hub's card of a model: what the registry and the ledger know, and what people wrote."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from wardround.contracts.card_words import Section, Written, card
from wardround.contracts.model_card import CardText
from wardround.contracts.run_plan import RunPlan
from wardround.hub import audit
from wardround.hub.registry.evidence import together
from wardround.hub.registry.tables import ModelRow, ModelText
from wardround.hub.runs import queries
from wardround.learning.archive import unpack
from wardround.learning.lineage import lineage_of
from wardround.ledger import store
from wardround.ledger.history import History, history, in_words


def write(session: Session, model: str, text: CardText, *, actor: str, at: datetime) -> None:
    """Keep a new edition of what people write; the earlier ones stay."""
    session.add(ModelText(model=model, text=text.canonical(), written_by=actor, written_at=at))
    audit.record(session, actor, "edit-card", model, text.content_digest())


def card_of(session: Session, row: ModelRow, parents: Sequence[str] = (), said: History | None = None) -> str:
    """The card as Markdown. `parents` are the digests of the models of which it was merged, as its package tells;
    `said`: what the ledger says of it, where that was read already."""
    origin, became = in_words(said or history(session, row.digest, row.weights, store.size(session)))
    run = queries.row_of(session, row.run)
    plan = RunPlan.model_validate_json(run.plan)
    known: list[Section] = [
        ("What it is", [f"package {row.package}, digest {row.digest}", f"registered {row.registered_at:%Y-%m-%d}"]),
        ("Where it comes from", [f"project {run.project}", *origin, *(f"merged of {parent}" for parent in parents)]),
        (
            "How it was trained",
            [
                f"{plan.algorithm.in_words()}, {plan.rounds} rounds at most, quorum {plan.quorum}",
                f"setting {plan.setting}",
                f"before an update left: {', '.join(plan.steps) or 'nothing was done to it'}",
                f"judged by {plan.metric}",
            ],
        ),
        (
            "What hospitals found by one plan each",
            [
                f"{name} {one.random.value:.3f} ({one.random.low:.3f} to {one.random.high:.3f}) over "
                f"{len(plan_.sites)} hospitals, plan {plan_.plan[:12]}"
                for plan_ in together(session, row.digest)
                for name, one in plan_.pooled.items()
            ],
        ),
        ("What became of it", became),
    ]
    written = _written(session, row.digest)
    return card(f"{row.package} {row.digest[:12]}", known, written, edit="wardround model card")


def _written(session: Session, model: str) -> Written | None:
    query = select(ModelText).where(ModelText.model == model).order_by(ModelText.id.desc()).limit(1)
    row = session.scalars(query).first()
    return None if row is None else Written(CardText.model_validate_json(row.text), row.written_by, row.written_at)


def parents_of(archive: bytes) -> tuple[str, ...]:
    """The models of which a package's weights were merged.

    Raises:
        BundleRefused: it can't be unpacked or read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        unpack(archive, folder)
        lineage = lineage_of(folder)
    return () if lineage is None else lineage.parents
